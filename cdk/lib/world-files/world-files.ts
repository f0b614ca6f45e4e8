/**
 * The file system of the worlds. Mount targets and access points, which hold nothing, are made by whoever uses it.
 *
 * Throughput is "bursting", which costs nothing: 1 MiB/s for ever and 100 MiB/s for as long as credits last, of which a
 * small file system has hours. Files that nobody opened for 30 days move to a class that costs a twelfth.
 */

import { CfnOutput, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as efs from 'aws-cdk-lib/aws-efs';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

export class WorldFiles extends Construct {
  /** Its id, as another stack is told it. */
  readonly id: string;
  /** Its ARN, as another stack is told it. */
  readonly arn: string;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    const files = new efs.CfnFileSystem(this, 'FileSystem', {
      encrypted: true,
      throughputMode: 'bursting',
      lifecyclePolicies: [{ transitionToIa: 'AFTER_30_DAYS' }, { transitionToPrimaryStorageClass: 'AFTER_1_ACCESS' }],
      // The archives in S3 are the copies that were checked; AWS Backup would cost as much again as the files.
      backupPolicy: { status: 'DISABLED' },
      // With a policy, whoever mounts it needs a role that allows it. This one adds that it is over TLS.
      fileSystemPolicy: new iam.PolicyDocument({
        statements: [
          new iam.PolicyStatement({
            effect: iam.Effect.DENY,
            principals: [new iam.AnyPrincipal()],
            actions: [
              'elasticfilesystem:ClientMount',
              'elasticfilesystem:ClientRootAccess',
              'elasticfilesystem:ClientWrite',
            ],
            resources: ['*'],
            conditions: { Bool: { 'aws:SecureTransport': 'false' } },
          }),
        ],
      }),
    });
    files.applyRemovalPolicy(RemovalPolicy.RETAIN);
    const stack = Stack.of(this);
    this.id = stack.exportValue(files.ref);
    this.arn = stack.exportValue(files.attrArn);
    new CfnOutput(stack, 'FileSystemId', { value: files.ref, description: 'the files of the worlds' });
  }
}
