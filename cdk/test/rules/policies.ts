/**
 * Who may do what. Every statement that allows something is read out of a template; what is broader than it has to be is
 * a finding.
 */

import { flat, isList, list, type Json, type Resource, type Template } from '../stacks.ts';

/** One action on one resource that a role is allowed. */
export interface Permission {
  /** The logical id of the role. */
  readonly role: string;
  readonly action: string;
  /** As one line. */
  readonly resource: string;
  /** As one line; empty if there is none. */
  readonly condition: string;
}

/** The actions that AWS takes no resource for. */
const WITHOUT_RESOURCE = ['ecr:GetAuthorizationToken', 'ecs:ListTasks'];

/** The services that may act as a role of ours. */
const SERVICES = ['ecs-tasks.amazonaws.com', 'lambda.amazonaws.com'];

/** Returns everything that roles are allowed, one action and resource each. */
export function permissions(template: Template): Permission[] {
  return statements(template).flatMap(({ roles, statement }) =>
    roles.flatMap((role) =>
      list(statement['Action']).flatMap((action) =>
        list(statement['Resource']).map((resource) => ({
          role,
          action: flat(action),
          resource: flat(resource),
          condition: condition(statement['Condition']),
        })),
      ),
    ),
  );
}

/** Returns what of a template allows too much. */
export function policyFindings(template: Template): string[] {
  return [
    ...permissions(template).flatMap(tooBroad),
    ...statements(template).flatMap(({ roles, statement }) => unreadable(roles.join(', '), statement)),
    ...Object.entries(template.Resources).flatMap(([id, resource]) => ofResource(id, resource)),
  ];
}

function tooBroad({ role, action, resource, condition: when }: Permission): string[] {
  const found: string[] = [];
  if (action.includes('*')) found.push(`${role} may do ${action}`);
  if (resource === '*' && !WITHOUT_RESOURCE.includes(action)) found.push(`${role} may do ${action} on everything`);
  if (resource === '*' && when === '') found.push(`${role} may do ${action} on everything, always`);
  if (resource.slice(0, -1).includes('*'))
    found.push(`${role} may do ${action} on ${resource}, which is open in its middle`);
  if (resource.length > 1 && resource.endsWith('*') && !/[/:]\*$/.test(resource))
    found.push(`${role} may do ${action} on ${resource}, which begins other names too`);
  if (action === 'iam:PassRole' && !when.includes('iam:PassedToService=ecs-tasks.amazonaws.com'))
    found.push(`${role} may pass a role to any service`);
  if (action.startsWith('iam:') && action !== 'iam:PassRole') found.push(`${role} may do ${action}`);
  if (action === 'sts:AssumeRole') found.push(`${role} may become somebody else`);
  return found;
}

function unreadable(role: string, statement: Statement): string[] {
  return ['NotAction', 'NotResource']
    .filter((name) => name in statement)
    .map((name) => `${role} is allowed by ${name}`);
}

function ofResource(id: string, { Type, Properties }: Resource): string[] {
  switch (Type) {
    case 'AWS::IAM::ManagedPolicy':
    case 'AWS::IAM::User':
    case 'AWS::IAM::Group':
      return [`${id}: roles with policies of their own do`];
    case 'AWS::IAM::Role':
      return ofRole(id, Properties);
    case 'AWS::Lambda::Permission':
      return ofPermission(id, Properties);
    case 'AWS::SQS::QueuePolicy':
    case 'AWS::SNS::TopicPolicy':
    case 'AWS::S3::BucketPolicy':
      return allows(Properties['PolicyDocument']).flatMap((statement) => ofResourcePolicy(id, statement));
    case 'AWS::EFS::FileSystem':
      return allows(Properties['FileSystemPolicy']).flatMap((statement) => ofResourcePolicy(id, statement));
    default:
      return [];
  }
}

function ofRole(id: string, properties: Resource['Properties']): string[] {
  const managed = list(properties['ManagedPolicyArns']).map((arn) => `${id} has ${flat(arn)}, which others write`);
  const strangers = allows(properties['AssumeRolePolicyDocument'])
    .map((statement) => flat(field(statement['Principal'], 'Service') ?? '*'))
    .filter((service) => !SERVICES.includes(service))
    .map((service) => `${id} can be taken on by ${service}`);
  return [...managed, ...strangers];
}

/** Everybody may call a function by its URL alone, and a service only for one thing of ours. */
function ofPermission(id: string, properties: Resource['Properties']): string[] {
  if (flat(properties['Principal']) !== '*') {
    return properties['SourceArn'] === undefined ? [`${id} lets ${flat(properties['Principal'])} in for anybody`] : [];
  }
  const byUrl = properties['FunctionUrlAuthType'] === 'NONE' || properties['InvokedViaFunctionUrl'] === true;
  return byUrl ? [] : [`${id} lets everybody in`];
}

function ofResourcePolicy(id: string, statement: Statement): string[] {
  const service = field(statement['Principal'], 'Service');
  if (service === undefined) return [`${id} lets ${flat(statement['Principal'])} in`];
  const when = condition(statement['Condition']);
  return /aws:Source(Arn|Account)=/.test(when) ? [] : [`${id} lets ${flat(service)} in for anybody`];
}

type Statement = { readonly [key: string]: Json };

/** Returns the statements that allow something, and the logical ids of the roles that have them. */
function statements(template: Template): { readonly roles: string[]; readonly statement: Statement }[] {
  return Object.entries(template.Resources).flatMap(([id, { Type, Properties }]) => {
    const inline = list(Properties['Policies']).flatMap((policy) => allows(field(policy, 'PolicyDocument')));
    const own = Type === 'AWS::IAM::Policy' ? allows(Properties['PolicyDocument']) : [];
    const roles = Type === 'AWS::IAM::Policy' ? list(Properties['Roles']).map((role) => flat(role).slice(2, -1)) : [id];
    return [...inline, ...own].map((statement) => ({ roles, statement }));
  });
}

function allows(document: Json | undefined): Statement[] {
  return list(field(document, 'Statement')).filter(
    (statement) => field(statement, 'Effect') === 'Allow',
  ) as Statement[];
}

/** Returns a condition as `operator key=value`. */
function condition(value: Json | undefined): string {
  if (value === undefined || value === null || typeof value !== 'object' || isList(value)) return '';
  const lines = Object.entries(value).flatMap(([operator, tests]) =>
    Object.entries(tests as { [key: string]: Json }).map(([key, one]) => `${operator} ${key}=${flat(one)}`),
  );
  return lines.join(' and ');
}

function field(value: Json | undefined, name: string): Json | undefined {
  return value !== null && typeof value === 'object' && !isList(value)
    ? (value as { readonly [key: string]: Json })[name]
    : undefined;
}
