/** The program that the toolkit runs: what people can mend ends it with a sentence, before anything is synthesised. */

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { Artefacts } from '../lib/artefacts.ts';

const CDK = join(import.meta.dirname, '..');
const DIR = mkdtempSync(join(tmpdir(), 'dormouse-cdk-'));

afterAll(() => rmSync(DIR, { recursive: true }));

/** Runs the program as the toolkit does, with these paths. */
function run(config: string, artefacts: string): Promise<{ readonly code: unknown; readonly said: string }> {
  const paths = { DORMOUSE_CONFIG: config, DORMOUSE_ARTEFACTS: artefacts, CDK_OUTDIR: join(DIR, 'out') };
  return new Promise((resolve) => {
    const options = { cwd: CDK, env: { ...process.env, ...paths } };
    execFile(process.execPath, ['--import', 'tsx', 'bin/app.ts'], options, (error, _, stderr) => {
      resolve({ code: error?.code ?? 0, said: stderr.trim() });
    });
  });
}

describe.concurrent('the program', () => {
  it('says what is wrong with the configuration, and makes nothing', async () => {
    const config = join(DIR, 'dormouse.toml');
    writeFileSync(config, 'games = ["quake"]\n');
    const { code, said } = await run(config, 'test/artefacts');
    expect(said).toMatch(/^dormouse\.toml:1: `games` has "quake": use .*luanti/m);
    expect([code, existsSync(join(DIR, 'out'))]).toEqual([1, false]);
  });

  it('says what has to be built first, and makes nothing', async () => {
    const { code, said } = await run('../dormouse.example.toml', join(DIR, 'nothing'));
    expect(said).toContain('build first');
    expect(said).toContain('lambda/worker/bootstrap');
    expect([code, existsSync(join(DIR, 'out'))]).toEqual([1, false]);
  });

  it('says so when there is no configuration yet', async () => {
    const { code, said } = await run(join(DIR, 'none.toml'), 'test/artefacts');
    expect([code, said]).toEqual([
      1,
      `there is no ${join(DIR, 'none.toml')}: copy dormouse.example.toml to dormouse.toml and fill in what is yours`,
    ]);
  });
});

describe('the artefacts', () => {
  it('are missed one by one, those of configured games alone', () => {
    const missing = new Artefacts('/nowhere').missing(['luanti']).map((file) => file.replace('/nowhere/', ''));
    expect(missing).toEqual([
      'lambda/interactions/bootstrap',
      'lambda/worker/bootstrap',
      'images/watchdog/Dockerfile',
      'images/luanti/Dockerfile',
    ]);
    expect(new Artefacts(join(CDK, 'test/artefacts')).missing(['luanti', 'openttd', 'valheim'])).toEqual([]);
  });
});
