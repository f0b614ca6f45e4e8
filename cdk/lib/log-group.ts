/** Where output goes, for as long as the configuration says. */

import { RemovalPolicy } from 'aws-cdk-lib';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

/** Returns a log group that keeps lines for `days`, which is one of the numbers of days that CloudWatch offers. */
export function logGroup(scope: Construct, id: string, days: number): logs.LogGroup {
  return new logs.LogGroup(scope, id, { retention: days, removalPolicy: RemovalPolicy.DESTROY });
}
