/** A function of ours: a static program for arm64, with a role and a log group of its own, and nothing granted yet. */

import type { Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import { grant } from '../grant.ts';
import { logGroup } from '../log-group.ts';

export interface RustFunctionProps {
  /** The directory with `bootstrap`. */
  readonly code: string;
  readonly description: string;
  /** How long one call may take. */
  readonly timeout: Duration;
  readonly environment: Readonly<Record<string, string>>;
  /** How many instances are kept for it, and run at most; none reserved if it is left out. */
  readonly reserved: number | undefined;
  /** How long logs are kept, in days. */
  readonly logDays: number;
}

/** It needs a tenth of this; a processor's share grows with it, and an eighth of one answers within milliseconds. */
const MEMORY_MIB = 256;

export class RustFunction extends Construct {
  readonly function: lambda.Function;
  readonly role: iam.Role;
  readonly logs: logs.LogGroup;

  constructor(scope: Construct, id: string, props: RustFunctionProps) {
    super(scope, id);
    this.logs = logGroup(this, 'Logs', props.logDays);
    this.role = new iam.Role(this, 'Role', {
      description: `what this may do: ${props.description}`,
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    grant(this.role, {
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [this.logs.logGroupArn],
    });
    this.function = new lambda.Function(this, 'Function', {
      description: props.description,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: lambda.Architecture.ARM_64,
      handler: 'bootstrap',
      code: lambda.Code.fromAsset(props.code),
      memorySize: MEMORY_MIB,
      timeout: props.timeout,
      environment: { ...props.environment },
      role: this.role,
      logGroup: this.logs,
      ...(props.reserved === undefined ? {} : { reservedConcurrentExecutions: props.reserved }),
    });
    acknowledge(this.function, {
      'Serverless-LambdaTracing':
        'X-Ray charges for each trace and would need a permission more; each log line names world and launch',
    });
  }
}
