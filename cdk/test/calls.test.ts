/**
 * Each function may make the calls that it makes, and no others: what was recorded while the functions ran against the
 * emulators (`test/calls`, `UPDATE_EXPECT=1 cargo test -p e2e --test cloud every_call` writes it) beside the template.
 */

import { describe, expect, it } from 'vitest';

import { allows, type Caller, CALLERS, differences, readCall, recorded, type Unrecorded } from './rules/calls.ts';
import { type Permission, permissions } from './rules/policies.ts';
import { templates } from './stacks.ts';

const LOGS = 'Lambda writes what the function prints, as its role';

/** What is allowed though the functions never ask for it, and why. One that is asked for after all fails here. */
const UNRECORDED: readonly Unrecorded[] = [
  { caller: 'front-door', action: 'logs:CreateLogStream', why: LOGS },
  { caller: 'front-door', action: 'logs:PutLogEvents', why: LOGS },
  { caller: 'worker', action: 'logs:CreateLogStream', why: LOGS },
  { caller: 'worker', action: 'logs:PutLogEvents', why: LOGS },
  {
    caller: 'worker',
    action: 'sqs:GetQueueAttributes',
    why: 'Lambda asks, as the role, when it begins to poll the queue; the emulated poller knows it',
  },
  {
    caller: 'worker',
    action: 'ecs:RunTask',
    resource: /:\*$/,
    why: 'RunTask names the family, and which of the two ARNs ECS then asks for is written nowhere',
  },
];

const ALL = permissions(templates().service);

describe.each(Object.keys(CALLERS) as Caller[])('the %s', (caller) => {
  it('is allowed every call that it makes and makes every call that it is allowed', () => {
    expect(recorded(caller).length).toBeGreaterThan(5);
    expect(differences(caller, recorded(caller), ALL, UNRECORDED)).toEqual([]);
  });

  it('would be found without any one of its permissions', () => {
    const own = ALL.filter(({ role }) => role.startsWith(CALLERS[caller]));
    const isExcused = ({ action, resource }: Permission): boolean =>
      UNRECORDED.some(
        (one) => one.caller === caller && one.action === action && (one.resource?.test(resource) ?? true),
      );
    // Games are allowed alike, so that one of several is not missed.
    const isOfGames = ({ resource }: Permission): boolean => /task-definition\/dormouse-(?!erase)/.test(resource);
    for (const one of own.filter((permission) => !isExcused(permission) && !isOfGames(permission))) {
      const without = ALL.filter((other) => other !== one);
      expect(differences(caller, recorded(caller), without, UNRECORDED), one.action).not.toEqual([]);
    }
  });

  it('would be found with any permission too many', () => {
    const role = ALL.find((one) => one.role.startsWith(CALLERS[caller]))?.role ?? '';
    for (const [action, resource] of [
      ['dynamodb:Scan', '${WorldsTable.Arn}'],
      ['dynamodb:GetItem', '${OtherTable.Arn}'],
      ['s3:DeleteObjectVersion', '${ArchivesBucket.Arn}/worlds/*'],
      ['ecs:RunTask', 'arn:aws:ecs:eu-central-1:111122223333:task-definition/another'],
    ] as const) {
      const more = [...ALL, { role, action, resource, condition: '' }];
      expect(differences(caller, recorded(caller), more, UNRECORDED)).toEqual([
        `${caller} may call ${action} on ${resource}, which it never does`,
      ]);
    }
  });

  it('would be found to need no excuse any more', () => {
    const call = readCall('ssm:GetParameters arn:aws:ssm:eu-central-1:111122223333:parameter/dormouse/api-token');
    const excuse = { caller, action: call.action, why: 'nobody knows' };
    expect(differences(caller, recorded(caller), ALL, [...UNRECORDED, excuse])).toEqual([
      `${caller}: ssm:GetParameters needs no excuse (nobody knows)`,
    ]);
  });
});

describe('a permission', () => {
  const allowed: Permission = {
    role: 'Worker',
    action: 'ecs:StopTask',
    resource: 'arn:aws:ecs:r:1:task/dormouse/*',
    condition: 'ArnEquals ecs:cluster=${Cluster.Arn}',
  };

  it.each<[string, boolean]>([
    ['ecs:StopTask arn:aws:ecs:r:1:task/dormouse/* [ecs:cluster=${Cluster.Arn}]', true],
    ['ecs:StopTask arn:aws:ecs:r:1:task/dormouse/*', false],
    ['ecs:StopTask arn:aws:ecs:r:1:task/dormouse/* [ecs:cluster=${Other.Arn}]', false],
    ['ecs:StopTask arn:aws:ecs:r:1:task/other/* [ecs:cluster=${Cluster.Arn}]', false],
    ['ecs:RunTask arn:aws:ecs:r:1:task/dormouse/* [ecs:cluster=${Cluster.Arn}]', false],
  ])('is for %s: %s', (call, expected) => {
    expect(allows(allowed, readCall(call))).toBe(expected);
  });

  it('with a condition of a form that nobody has thought of allows nothing', () => {
    const odd = { ...allowed, condition: 'StringLike ecs:cluster=${Cluster.Arn}' };
    expect(allows(odd, readCall('ecs:StopTask arn:aws:ecs:r:1:task/dormouse/1 [ecs:cluster=${Cluster.Arn}]'))).toBe(
      false,
    );
  });
});
