/**
 * Permissions of a role: added one by one, and where a resource has a wildcard, with the reason why AWS allows nothing
 * narrower or nothing narrower is known before it runs.
 */

import { Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';

import { acknowledge } from './acknowledge.ts';

export interface Permission {
  readonly actions: string[];
  readonly resources: string[];
  readonly conditions?: Record<string, Record<string, unknown>>;
  /** Why resources have wildcards; needed if they have. */
  readonly wildcards?: string;
}

/** Lets `role` do what `permission` says. */
export function grant(role: iam.Role, { actions, resources, conditions = {}, wildcards }: Permission): void {
  role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
  if (wildcards === undefined) return;
  const findings = resources
    .map((resource) => flat(Stack.of(role).resolve(resource)))
    .filter((resource) => resource.includes('*'));
  if (findings.length === 0) throw new Error(`a reason for wildcards that are not there: ${wildcards}`);
  acknowledge(
    role,
    Object.fromEntries(findings.map((resource) => [`AwsSolutions-IAM5[Resource::${resource}]`, wildcards])),
  );
}

/** Returns a resource as cdk-nag calls it. */
function flat(resource: unknown): string {
  if (typeof resource === 'string') return resource;
  const [[name, value] = ['', undefined]] = Object.entries(resource as Record<string, unknown>);
  if (name === 'Fn::Join' && Array.isArray(value)) return (value[1] as unknown[]).map(flat).join(String(value[0]));
  if (name === 'Fn::GetAtt' && Array.isArray(value)) return `<${value.join('.')}>`;
  if (name === 'Fn::ImportValue') return flat(value);
  return name === 'Ref' ? `<${String(value)}>` : JSON.stringify(resource);
}
