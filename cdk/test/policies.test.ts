/** Everybody may do what they have to and nothing else; and the rules that say so find each kind of too much. */

import { describe, expect, it } from 'vitest';

import { permissions, policyFindings } from './rules/policies.ts';
import { type Json, type Resource, type Template, templates } from './stacks.ts';

const { stateful, service } = templates();

/** Returns what the role whose id begins so may do, an action on a line. */
function may(role: string): string {
  const all = permissions(service).filter((permission) => permission.role.startsWith(role));
  const lines = new Map<string, string[]>();
  for (const { action, resource, condition } of all) {
    const key = `${action}${condition === '' ? '' : ` [${condition}]`}`;
    lines.set(key, [...(lines.get(key) ?? []), resource]);
  }
  return [...lines]
    .map(([action, resources]) => [action, ...resources].join('\n  '))
    .sort()
    .join('\n');
}

describe('what is allowed', () => {
  it('is no more than it has to be', () => {
    for (const variant of ['full', 'by-watchdog', 'by-container'] as const) {
      expect(policyFindings(templates(variant).stateful)).toEqual([]);
      expect(policyFindings(templates(variant).service)).toEqual([]);
    }
  });

  it('is for the front door: worlds, archives, the queue, the secrets; and nothing of ECS', () => {
    expect(may('FrontDoor')).toMatchInlineSnapshot(`
      "dynamodb:BatchGetItem
        \${WorldsTable.Arn}
      dynamodb:GetItem
        \${WorldsTable.Arn}
      dynamodb:PutItem
        \${WorldsTable.Arn}
      dynamodb:Query
        \${WorldsTable.Arn}
      logs:CreateLogStream
        \${FrontDoorLogs38CDE1C0.Arn}
      logs:PutLogEvents
        \${FrontDoorLogs38CDE1C0.Arn}
      s3:GetObject
        \${ArchivesBucket.Arn}/worlds/*
        \${ArchivesBucket.Arn}/imports/*
      s3:ListBucket
        \${ArchivesBucket.Arn}
      s3:PutObject
        \${ArchivesBucket.Arn}/worlds/*
        \${ArchivesBucket.Arn}/uploads/*
        \${ArchivesBucket.Arn}/imports/*
      sqs:SendMessage
        \${LooksQueue9798AD1E.Arn}
      ssm:GetParameters
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/launch-secret
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/api-token
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/discord-token
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/control-url"
    `);
  });

  it('is for the worker: that, and tasks of this cluster', () => {
    expect(may('Worker')).toMatchInlineSnapshot(`
      "dynamodb:DeleteItem
        \${WorldsTable.Arn}
      dynamodb:GetItem
        \${WorldsTable.Arn}
      dynamodb:PutItem
        \${WorldsTable.Arn}
      dynamodb:Query
        \${WorldsTable.Arn}/index/unsettled
      ecs:DescribeTasks [ArnEquals ecs:cluster=\${TasksClusterD320D228.Arn}]
        arn:aws:ecs:eu-central-1:111122223333:task/dormouse/*
      ecs:ListTasks [ArnEquals ecs:cluster=\${TasksClusterD320D228.Arn}]
        *
      ecs:RunTask [ArnEquals ecs:cluster=\${TasksClusterD320D228.Arn}]
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-luanti
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-luanti:*
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-openttd
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-openttd:*
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-valheim
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-valheim:*
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-erase
        arn:aws:ecs:eu-central-1:111122223333:task-definition/dormouse-erase:*
      ecs:StopTask [ArnEquals ecs:cluster=\${TasksClusterD320D228.Arn}]
        arn:aws:ecs:eu-central-1:111122223333:task/dormouse/*
      ecs:TagResource [StringEquals ecs:CreateAction=RunTask]
        arn:aws:ecs:eu-central-1:111122223333:task/dormouse/*
      iam:PassRole [StringEquals iam:PassedToService=ecs-tasks.amazonaws.com]
        \${TasksTaskRole7EF6BC85.Arn}
        \${TasksExecutionRoleF507B5D7.Arn}
      logs:CreateLogStream
        \${WorkerLogs4B5B6506.Arn}
      logs:PutLogEvents
        \${WorkerLogs4B5B6506.Arn}
      s3:DeleteObject
        \${ArchivesBucket.Arn}/worlds/*
        \${ArchivesBucket.Arn}/uploads/*
        \${ArchivesBucket.Arn}/imports/*
      s3:GetObject
        \${ArchivesBucket.Arn}/worlds/*
        \${ArchivesBucket.Arn}/uploads/*
      s3:ListBucket
        \${ArchivesBucket.Arn}
      s3:ListMultipartUploadParts
        \${ArchivesBucket.Arn}/worlds/*
      s3:PutObject
        \${ArchivesBucket.Arn}/worlds/*
      sqs:DeleteMessage
        \${LooksQueue9798AD1E.Arn}
      sqs:GetQueueAttributes
        \${LooksQueue9798AD1E.Arn}
      sqs:ReceiveMessage
        \${LooksQueue9798AD1E.Arn}
      sqs:SendMessage
        \${LooksQueue9798AD1E.Arn}
      ssm:GetParameters
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/launch-secret
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/api-token
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/discord-token
        arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/control-url"
    `);
  });

  it('is for a task: to mount the worlds by an access point of ours', () => {
    expect(may('TasksTaskRole')).toMatchInlineSnapshot(`
      "elasticfilesystem:ClientMount [ArnEquals elasticfilesystem:AccessPointArn=\${TasksLuantiMount00A60B2F.Arn}, \${TasksOpenttdMountC4734928.Arn}, \${TasksValheimMount68F2B49A.Arn}, \${TasksEraseMountE49B5DFA.Arn}]
        \${FilesFileSystem.Arn}
      elasticfilesystem:ClientRootAccess [ArnEquals elasticfilesystem:AccessPointArn=\${TasksLuantiMount00A60B2F.Arn}, \${TasksOpenttdMountC4734928.Arn}, \${TasksValheimMount68F2B49A.Arn}, \${TasksEraseMountE49B5DFA.Arn}]
        \${FilesFileSystem.Arn}
      elasticfilesystem:ClientWrite [ArnEquals elasticfilesystem:AccessPointArn=\${TasksLuantiMount00A60B2F.Arn}, \${TasksOpenttdMountC4734928.Arn}, \${TasksValheimMount68F2B49A.Arn}, \${TasksEraseMountE49B5DFA.Arn}]
        \${FilesFileSystem.Arn}"
    `);
  });

  it('is for bringing a task up: its image and its log', () => {
    expect(may('TasksExecutionRole')).toMatchInlineSnapshot(`
      "ecr:BatchCheckLayerAvailability
        arn:aws:ecr:eu-central-1:111122223333:repository/cdk-hnb659fds-container-assets-111122223333-eu-central-1
      ecr:BatchGetImage
        arn:aws:ecr:eu-central-1:111122223333:repository/cdk-hnb659fds-container-assets-111122223333-eu-central-1
      ecr:GetAuthorizationToken [StringEquals aws:RequestedRegion=eu-central-1]
        *
      ecr:GetDownloadUrlForLayer
        arn:aws:ecr:eu-central-1:111122223333:repository/cdk-hnb659fds-container-assets-111122223333-eu-central-1
      logs:CreateLogStream
        \${TaskLogs5C7CDF8E.Arn}
      logs:PutLogEvents
        \${TaskLogs5C7CDF8E.Arn}"
    `);
  });

  it('is for four roles in all', () => {
    expect([...new Set(permissions(service).map(({ role }) => role.replace(/[0-9A-F]{8}$/, '')))].sort()).toEqual([
      'FrontDoorRole',
      'TasksExecutionRole',
      'TasksTaskRole',
      'WorkerRole',
    ]);
    expect(permissions(stateful)).toEqual([]);
  });
});

describe('the rules', () => {
  const good = { Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::bucket/worlds/*' };

  it('let a narrow statement be', () => {
    expect(withStatement(good)).toEqual([]);
  });

  it.each<[string, { [key: string]: Json }, string]>([
    ['a wildcard for actions', { Action: 's3:*' }, 'Role may do s3:*'],
    ['a wildcard in an action', { Action: ['s3:GetObject', 's3:Get*'] }, 'Role may do s3:Get*'],
    [
      'everything',
      { Resource: '*', Condition: { StringEquals: { 'aws:RequestedRegion': 'x' } } },
      'Role may do s3:GetObject on everything',
    ],
    [
      'everything, always',
      { Action: 'ecs:ListTasks', Resource: '*' },
      'Role may do ecs:ListTasks on everything, always',
    ],
    [
      'a wildcard in the middle',
      { Resource: 'arn:aws:s3:::*/worlds' },
      'Role may do s3:GetObject on arn:aws:s3:::*/worlds, which is open in its middle',
    ],
    [
      'a wildcard behind half a name',
      { Resource: 'arn:aws:s3:::buck*' },
      'Role may do s3:GetObject on arn:aws:s3:::buck*, which begins other names too',
    ],
    [
      'passing roles anywhere',
      { Action: 'iam:PassRole', Resource: 'arn:aws:iam::1:role/r' },
      'Role may pass a role to any service',
    ],
    [
      'changing roles',
      { Action: 'iam:PutRolePolicy', Resource: 'arn:aws:iam::1:role/r' },
      'Role may do iam:PutRolePolicy',
    ],
    [
      'becoming others',
      { Action: 'sts:AssumeRole', Resource: 'arn:aws:iam::1:role/r' },
      'Role may become somebody else',
    ],
    ['all but some actions', { NotAction: 's3:GetObject' }, 'Role is allowed by NotAction'],
    ['all but some resources', { NotResource: 'x' }, 'Role is allowed by NotResource'],
  ])('find %s', (_, change, finding) => {
    expect(withStatement({ ...good, ...change })).toEqual([finding]);
  });

  it.each<[string, Resource, string]>([
    [
      'policies that others write',
      role({ ManagedPolicyArns: ['arn:aws:iam::aws:policy/X'] }),
      'It has arn:aws:iam::aws:policy/X, which others write',
    ],
    ['roles for strangers', role({ AssumeRolePolicyDocument: trust({ AWS: '*' }) }), 'It can be taken on by *'],
    [
      'roles for other services',
      role({ AssumeRolePolicyDocument: trust({ Service: 'ec2.amazonaws.com' }) }),
      'It can be taken on by ec2.amazonaws.com',
    ],
    ['users', { Type: 'AWS::IAM::User', Properties: {} }, 'It: roles with policies of their own do'],
    ['functions for everybody', permission({ Principal: '*' }), 'It lets everybody in'],
    [
      "functions for anybody's events",
      permission({ Principal: 'events.amazonaws.com' }),
      'It lets events.amazonaws.com in for anybody',
    ],
    ['queues for everybody', queuePolicy({ AWS: '*' }), 'It lets {"AWS":"*"} in'],
    [
      "queues for anybody's events",
      queuePolicy({ Service: 'events.amazonaws.com' }),
      'It lets events.amazonaws.com in for anybody',
    ],
  ])('find %s', (_, resource, finding) => {
    expect(policyFindings(alone(resource))).toEqual([finding]);
  });

  function alone(resource: Resource): Template {
    return { Resources: { It: resource }, Outputs: {} };
  }

  function withStatement(statement: { [key: string]: Json }): string[] {
    const Properties = { Roles: [{ Ref: 'Role' }], PolicyDocument: { Statement: [statement] } };
    return policyFindings(alone({ Type: 'AWS::IAM::Policy', Properties }));
  }

  function role(properties: { [key: string]: Json }): Resource {
    return { Type: 'AWS::IAM::Role', Properties: properties };
  }

  function trust(principal: Json): Json {
    return { Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: principal }] };
  }

  function permission(properties: { [key: string]: Json }): Resource {
    return { Type: 'AWS::Lambda::Permission', Properties: properties };
  }

  function queuePolicy(principal: Json): Resource {
    const statement = { Effect: 'Allow', Action: 'sqs:SendMessage', Principal: principal };
    return { Type: 'AWS::SQS::QueuePolicy', Properties: { PolicyDocument: { Statement: [statement] } } };
  }
});
