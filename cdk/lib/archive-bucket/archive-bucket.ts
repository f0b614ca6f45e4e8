/**
 * The archives of worlds, and what passes through on the way.
 *
 * ```text
 * worlds/   complete archives: kept until Dormouse removes them, and for some days after that
 * uploads/  ids of uploads that are under way: gone after two days
 * imports/  files that people sent to be imported: gone after two days
 * ```
 */

import { CfnOutput, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import { ARCHIVES, IMPORTS, UPLOADS } from '../agreed.ts';
import { grant } from '../grant.ts';

export interface ArchiveBucketProps {
  /** How long an archive that was removed or overwritten can be got back, in days. */
  readonly keepRemovedDays: number;
  /** The region; files are sent by pages of function URLs in it. */
  readonly region: string;
}

/** How long what passes through is kept. An upload takes three hours at most, an import a day. */
const PASSING = Duration.days(2);

export class ArchiveBucket extends Construct {
  /** Its name, as another stack is told it. */
  readonly name: string;
  private readonly arn: string;

  constructor(scope: Construct, id: string, props: ArchiveBucketProps) {
    super(scope, id);
    const bucket = new s3.Bucket(this, 'Bucket', {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      encryption: s3.BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      // Whoever holds a live upload URL could put another archive over the first one.
      versioned: true,
      removalPolicy: RemovalPolicy.RETAIN,
      lifecycleRules: [
        { id: 'uploads-pass', prefix: UPLOADS, expiration: PASSING },
        { id: 'imports-pass', prefix: IMPORTS, expiration: PASSING },
        { id: 'broken-off', abortIncompleteMultipartUploadAfter: PASSING },
        { id: 'removed', noncurrentVersionExpiration: Duration.days(props.keepRemovedDays) },
        { id: 'markers', expiredObjectDeleteMarker: true },
      ],
      // A page of the front door sends a file straight to its presigned URL. Which function URL that is, is known only
      // after this bucket is there; the presigned URL decides who may send, this only from what kind of page.
      cors: [
        {
          allowedMethods: [s3.HttpMethods.PUT],
          allowedOrigins: [`https://*.lambda-url.${props.region}.on.aws`],
          allowedHeaders: ['content-type'],
          maxAge: 3600,
        },
      ],
    });
    const stack = Stack.of(this);
    this.name = stack.exportValue(bucket.bucketName);
    this.arn = stack.exportValue(bucket.bucketArn);
    new CfnOutput(stack, 'BucketName', { value: bucket.bucketName, description: 'the archives of the worlds' });
    acknowledge(bucket, {
      'AwsSolutions-S1':
        'access logs would be kept in a second bucket for ever, for objects that nobody reads without a presigned URL; what the functions did is in their logs',
    });
  }

  /** Lets the front door sign links and upload tickets, and say that an archive is not there. */
  grantFrontDoor(role: iam.Role): void {
    this.grantObjects(role, ['s3:GetObject'], [ARCHIVES, IMPORTS]);
    this.grantObjects(role, ['s3:PutObject'], [ARCHIVES, UPLOADS, IMPORTS]);
    this.grantAbsence(role);
  }

  /** Lets the worker put parts together, check what came, and remove what is no longer kept. */
  grantWorker(role: iam.Role): void {
    this.grantObjects(role, ['s3:DeleteObject'], [ARCHIVES, UPLOADS, IMPORTS]);
    this.grantObjects(role, ['s3:GetObject'], [ARCHIVES, UPLOADS]);
    this.grantObjects(role, ['s3:ListMultipartUploadParts', 's3:PutObject'], [ARCHIVES]);
    this.grantAbsence(role);
  }

  private grantObjects(role: iam.Role, actions: string[], prefixes: readonly string[]): void {
    const resources = prefixes.map((prefix) => `${this.arn}/${prefix}*`);
    grant(role, { actions, resources, wildcards: 'objects are named after worlds that people make' });
  }

  /** Without it S3 answers "forbidden" where it should say "not there". */
  private grantAbsence(role: iam.Role): void {
    grant(role, { actions: ['s3:ListBucket'], resources: [this.arn] });
  }
}
