/**
 * The secrets in Parameter Store: deploy writes them there as SecureStrings, and neither their values nor the parameters
 * themselves are in a template. They are encrypted with the account's own key for Parameter Store, which costs nothing and
 * whose policy lets in whoever may read the parameter.
 */

import { Stack } from 'aws-cdk-lib';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';

import { CONTROL_URL, SECRETS } from '../agreed.ts';
import { grant } from '../grant.ts';

export interface SecretsProps {
  /** What names begin with. */
  readonly prefix: string;
}

export class Secrets extends Construct {
  /** What the names of the parameters begin with, as the functions are told it. */
  readonly path: string;

  constructor(scope: Construct, id: string, props: SecretsProps) {
    super(scope, id);
    this.path = `/${props.prefix}`;
  }

  /**
   * Says where the front door is. A function cannot have its own address in its environment, for that would have to be known
   * before the function is.
   */
  sayWhere(url: string): void {
    new ssm.StringParameter(this, 'ControlUrl', {
      parameterName: `${this.path}/${CONTROL_URL}`,
      stringValue: url,
      description: 'Where people reach the front door',
    });
  }

  /** Lets a function read all of them, and where the front door is, in one call. */
  grantRead(role: iam.Role): void {
    const arn = (name: string): string =>
      Stack.of(this).formatArn({
        service: 'ssm',
        resource: 'parameter',
        resourceName: `${this.path.slice(1)}/${name}`,
      });
    grant(role, { actions: ['ssm:GetParameters'], resources: [...SECRETS, CONTROL_URL].map(arn) });
  }
}
