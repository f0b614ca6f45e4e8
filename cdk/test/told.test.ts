/** What `cargo xtask` is told of a configuration: `xtask/src/cloud/config.rs` reads the same snapshot. */

import { execFile } from 'node:child_process';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

const CDK = join(import.meta.dirname, '..');

function run(file: string): Promise<{ readonly code: unknown; readonly out: string; readonly said: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', 'bin/config.ts', file], { cwd: CDK }, (error, out, said) => {
      resolve({ code: error?.code ?? 0, out, said: said.trim() });
    });
  });
}

describe('what is told of a configuration', () => {
  it('is what deploying has to know of it', async () => {
    const { code, out } = await run('../dormouse.example.toml');
    await expect(out).toMatchFileSnapshot('snapshots/config.json');
    expect(code).toBe(0);
  });

  it('is what is wrong with it, if something is', async () => {
    const { code, out, said } = await run('test/snapshots/stateful.yaml');
    expect(said).toMatch(/^stateful\.yaml:1: not TOML/);
    expect([code, out]).toEqual([1, '']);
  });

  it('is that there is none, if there is none', async () => {
    const { code, said } = await run('nothing.toml');
    expect([code, said]).toEqual([
      1,
      'there is no nothing.toml: copy dormouse.example.toml to dormouse.toml and fill in what is yours',
    ]);
  });
});
