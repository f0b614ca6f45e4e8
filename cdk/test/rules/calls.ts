/**
 * Who makes which call: recorded in the end-to-end tests of the cloud (`e2e/tests/cloud.rs`), where the functions run as they
 * are deployed, and compared with what their roles are allowed, both ways.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { withoutHashes } from '../emulated.ts';
import type { Permission } from './policies.ts';

/** The functions whose calls are recorded: the name of the file, and what the logical id of the role begins with. */
export const CALLERS = { 'front-door': 'FrontDoor', worker: 'Worker' } as const;

export type Caller = keyof typeof CALLERS;

/** One call, as far as a policy looks at it. */
export interface Call {
  readonly action: string;
  readonly resource: string;
  /** What conditions can look at. */
  readonly context: Readonly<Record<string, string>>;
}

/** What is allowed though no call of it is recorded. */
export interface Unrecorded {
  readonly caller: Caller;
  readonly action: string;
  /** Matches the resource, where it is not every one. */
  readonly resource?: RegExp;
  readonly why: string;
}

/** Returns the calls that were recorded. */
export function recorded(caller: Caller): Call[] {
  const text = readFileSync(join(import.meta.dirname, `../calls/${caller}.txt`), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(readCall);
}

/** Reads `action resource [key=value]`. */
export function readCall(line: string): Call {
  const [, action, resource, conditions = ''] = /^(\S+) (\S+)((?: \[[^\]]*\])*)$/.exec(line) ?? [];
  if (action === undefined || resource === undefined) throw new Error(`this is no call: ${line}`);
  const context = [...conditions.matchAll(/\[([^=\]]+)=([^\]]*)\]/g)].map(([, key = '', value = '']) => [key, value]);
  return { action, resource, context: Object.fromEntries(context) as Record<string, string> };
}

/** Returns what differs between the calls of a function and the permissions of its role, a line each. */
export function differences(
  caller: Caller,
  calls: readonly Call[],
  permissions: readonly Permission[],
  unrecorded: readonly Unrecorded[],
): string[] {
  const own = permissions.filter(({ role }) => role.startsWith(CALLERS[caller])).map(named);
  const excuses = unrecorded.filter((excuse) => excuse.caller === caller);
  const isUsed = (permission: Permission): boolean => calls.some((call) => allows(permission, call));
  const isExcused = (permission: Permission) => (excuse: Unrecorded) =>
    excuse.action === permission.action && (excuse.resource?.test(permission.resource) ?? true);
  return [
    ...calls
      .filter((call) => !own.some((permission) => allows(permission, call)))
      .map((call) => `${caller} calls ${call.action} on ${call.resource}, which is not allowed`),
    ...own
      .filter((permission) => !isUsed(permission) && !excuses.some(isExcused(permission)))
      .map(({ action, resource }) => `${caller} may call ${action} on ${resource}, which it never does`),
    ...excuses
      .filter((excuse) => !own.some((permission) => !isUsed(permission) && isExcused(permission)(excuse)))
      .map(({ action, why }) => `${caller}: ${action} needs no excuse (${why})`),
  ];
}

/** Tells whether a permission allows a call. */
export function allows(permission: Permission, call: Call): boolean {
  const { action, resource, condition } = permission;
  const start = resource.endsWith('*') ? resource.slice(0, -1) : undefined;
  const isThere = start === undefined ? resource === call.resource : call.resource.startsWith(start);
  return action === call.action && isThere && condition.split(' and ').every((one) => holds(one, call));
}

/** Tells whether a condition such as `ArnEquals key=value` is met; one of a form that nobody has thought of is not. */
function holds(condition: string, call: Call): boolean {
  if (condition === '') return true;
  const [, key = '', value] = /^(?:ArnEquals|StringEquals) ([^=]+)=(.*)$/.exec(condition) ?? [];
  return call.context[key] !== undefined && call.context[key] === value;
}

/** Returns a permission with the names that calls are recorded with. All games are allowed alike, and one is played. */
function named(permission: Permission): Permission {
  return {
    ...permission,
    resource: withoutHashes(permission.resource).replace(/(?<=:task-definition\/dormouse-)(?!erase)[a-z0-9-]+/, PLAYED),
    condition: withoutHashes(permission.condition),
  };
}

/** The game that is played when calls are recorded. */
const PLAYED = 'luanti';
