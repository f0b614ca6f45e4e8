/** Makes templates: once for all tests, since that takes seconds, and again for those that change something first. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { App, type Stack } from 'aws-cdk-lib';
import type { TestProject } from 'vitest/node';

import type { GameStart } from '../lib/agreed.ts';
import { Artefacts } from '../lib/artefacts.ts';
import type { Config } from '../lib/config.ts';
import { deployment } from '../lib/deployment.ts';
import { CATALOGUE, EXAMPLE } from './example.ts';
import type { Template, Templates } from './stacks.ts';

export const ARTEFACTS = new Artefacts(join(import.meta.dirname, 'artefacts'));

/** Everything that the example leaves out. */
const REST: Partial<Config> = {
  prefix: 'den',
  games: ['valheim'],
  capacity: 'on-demand',
  sizes: new Map([['valheim', { cpu: 2048, memoryMib: 8192 }]]),
  timers: { never_joined: 600, last_left: 300, warning: 60, cap: 6 * 3600 },
  functions: { frontDoorAtOnce: 10, workerAtOnce: 5, reserved: false },
  keepRemovedDays: 7,
  logDays: 14,
  alarmEmail: 'you@example.org',
  budget: { usd: 20, email: 'you@example.org' },
};

/** Called by vitest before all tests. */
export default function setup(project: TestProject): void {
  project.provide('templates', {
    plain: make(),
    full: make(REST),
    'by-watchdog': make({}, 'by-watchdog'),
    'by-container': make({}, 'by-container'),
  });
}

/** Returns the templates of the example configuration, but for `change`. What cdk-nag finds is an error. */
export function make(change: Partial<Config> = {}, gameStart?: GameStart): Templates {
  const config = { ...EXAMPLE, ...change };
  const props = {
    config,
    catalogue: CATALOGUE,
    artefacts: ARTEFACTS,
    ...(gameStart === undefined ? {} : { gameStart }),
  };
  return synthesised((app) => deployment(app, props));
}

/** Returns the templates that `compose` makes in an app with the settings of `cdk.json`. */
export function synthesised(compose: (app: App) => { readonly stateful: Stack; readonly service: Stack }): Templates {
  const outdir = mkdtempSync(join(tmpdir(), 'dormouse-cdk-'));
  try {
    const { context } = JSON.parse(readFileSync(join(import.meta.dirname, '../cdk.json'), 'utf8')) as {
      context: Record<string, unknown>;
    };
    const app = new App({ outdir, context, analyticsReporting: false, treeMetadata: false });
    const { stateful, service } = compose(app);
    const assembly = app.synth();
    const template = (stack: Stack): Template => assembly.getStackByName(stack.stackName).template as Template;
    const before = assembly.getStackByName(service.stackName).dependencies.map(({ id }) => id);
    return { before, stateful: template(stateful), service: template(service) };
  } finally {
    rmSync(outdir, { recursive: true });
  }
}
