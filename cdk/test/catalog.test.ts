/** That the catalogue is read as Rust reads it: the cases and the expected words are those of `games/src/entry.rs`. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ERASE } from '../lib/agreed.ts';
import { readCatalogue, readGame, TIMERS } from '../lib/catalog.ts';
import { calls, cases, good, refusal, withoutParsersWords } from './rust-cases.ts';
import { ROOT, rust } from './rust.ts';

const ENTRY = rust('games/src/entry.rs', 'with tests');
const GOOD = good(ENTRY);

describe('the catalogue', () => {
  const all = cases(ENTRY);

  it('is compared by all the cases that the Rust loader has', () => {
    expect(all.length).toBe(calls(ENTRY));
    expect(all.length).toBeGreaterThan(30);
  });

  it.each(all)('refuses $to in the words of the Rust loader', ({ from, to, expected }) => {
    expect(GOOD).toContain(from);
    expect(withoutParsersWords(refusal(GOOD.replace(from, () => to)))).toBe(withoutParsersWords(expected));
  });

  it('takes what the Rust loader takes', () => {
    expect(refusal(GOOD)).toBe('accepted');
    expect(refusal(`\uFEFF${GOOD.replaceAll('\n', '\r\n')}`)).toBe('accepted');
  });

  it('knows the keys that the Rust loader knows', () => {
    const read = rust('games/src/entry.rs').matchAll(
      /\.(?:required|optional|list|section|sections)(?:_\w+)?\(\s*"(\w+)"/g,
    );
    const keys = [...new Set([...read].map(([, key = '']) => key))];
    const ours = readFileSync(join(import.meta.dirname, '../lib/catalog.ts'), 'utf8');
    expect(keys.length).toBeGreaterThan(20);
    expect(keys.filter((key) => !ours.includes(`'${key}'`))).toEqual([]);
  });

  it('has the bounds of the timers that the domain has', () => {
    const checks = rust('domain/src/idle.rs').matchAll(/check\("(\w+)", self\.\w+, (\d+), ([\w *]+)\)/g);
    const product = (text: string): number =>
      text.split('*').reduce((all, n) => all * (n.trim() === 'DAY' ? 24 * 60 * 60 : Number(n)), 1);
    const domain = [...checks].map(([, key = '', least, most = '']) => [key, [Number(least), product(most)]]);
    expect(Object.fromEntries(domain)).toEqual(TIMERS);
  });

  it('holds every game that is built in', () => {
    const files = readdirSync(join(ROOT, 'games/catalog')).filter((name) => name.endsWith('.toml'));
    const games = readCatalogue(join(ROOT, 'games/catalog'));
    expect([...games.keys()]).toEqual(files.map((name) => name.replace('.toml', '')).sort());
    expect(games.get('valheim')).toEqual({
      id: 'valheim',
      name: 'Valheim',
      architectures: ['amd64'],
      cpu: 2048,
      memoryMib: 4096,
      ports: [
        { name: 'game', number: 2456, protocol: 'udp' },
        { name: 'query', number: 2457, protocol: 'udp' },
      ],
      capS: 12 * 60 * 60,
    });
  });

  it('refuses a file whose name is no id', () => {
    const said = /a_file_whose_name_is_no_id[\s\S]*?expect!\["([^"]*)"\]/.exec(ENTRY)?.[1];
    expect(() => readGame('My Game.toml', GOOD)).toThrow(said);
  });

  it('refuses a game whose task definition would be that of the erasure', () => {
    const said = /a_file_with_the_name_of_the_task[\s\S]*?expect!\["([^"]*)"\]/.exec(ENTRY)?.[1];
    expect(said).toContain(`\`${ERASE}\``);
    expect(() => readGame(`${ERASE}.toml`, GOOD)).toThrow(said);
    expect(rust('adapters/src/runtime/ecs.rs')).toContain(`self.family("${ERASE}")`);
  });
});
