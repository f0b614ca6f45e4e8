/**
 * The two roles of tasks. The execution role is ECS's own while it brings a task up; the task role is what every
 * container in a task can act as, and games run strangers' mods.
 */

import { Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

import { grant } from '../grant.ts';

/** Returns the role of tasks, still without permissions. It is for tasks of this account in this region. */
export function taskRole(scope: Construct): iam.Role {
  const stack = Stack.of(scope);
  return role(scope, 'TaskRole', 'what a task may do', {
    ArnLike: { 'aws:SourceArn': stack.formatArn({ service: 'ecs', resource: '*' }) },
    StringEquals: { 'aws:SourceAccount': stack.account },
  });
}

/**
 * Returns the role that ECS brings tasks up with: it writes their logs, and pulls what it is allowed to later. ECS promises
 * to say for whom it acts only when it takes on the other role.
 */
export function executionRole(scope: Construct, logGroup: logs.ILogGroup): iam.Role {
  const execution = role(scope, 'ExecutionRole', 'what ECS may do to bring a task up', {});
  grant(execution, {
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    resources: [logGroup.logGroupArn],
  });
  grant(execution, {
    actions: ['ecr:GetAuthorizationToken'],
    resources: ['*'],
    conditions: { StringEquals: { 'aws:RequestedRegion': Stack.of(scope).region } },
    wildcards: 'it is for no repository, and AWS takes nothing narrower; it is allowed in this region only',
  });
  return execution;
}

function role(
  scope: Construct,
  id: string,
  description: string,
  conditions: Record<string, Record<string, string>>,
): iam.Role {
  return new iam.Role(scope, id, {
    description,
    assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com', { conditions }),
  });
}
