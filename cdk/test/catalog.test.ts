/** That the catalogue is read as Rust reads it: the cases and the expected words are those of `games/src/entry.rs`. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ERASE } from '../lib/agreed.ts';
import { readCatalogue, readGame, TIMERS } from '../lib/catalog.ts';
import { ROOT, rust } from './rust.ts';

const ENTRY = rust('games/src/entry.rs', 'with tests');
const GOOD = /const GOOD: &str = r#"([\s\S]*?)"#;/.exec(ENTRY)?.[1] ?? '';

interface Case {
  readonly from: string;
  readonly to: string;
  readonly expected: string;
}

/** Returns the calls `check(from, to, expect![[…]])` of the Rust tests. */
function rustCases(): Case[] {
  const literal = String.raw`("(?:[^"\\]|\\.)*")`;
  const told = String.raw`expect!\[\s*(?:\[\s*r#"([\s\S]*?)"#\s*\]|${literal})\s*,?\s*\]`;
  const calls = ENTRY.matchAll(new RegExp(String.raw`check\(\s*${literal},\s*(?:${literal}|port),\s*${told}`, 'g'));
  return [...calls].map(([, from = '', to, raw, plain]) => ({
    from: unquoted(from),
    to: to === undefined ? twoPorts() : unquoted(to),
    expected: raw === undefined ? unquoted(plain ?? '') : unindented(raw),
  }));
}

function twoPorts(): string {
  return unquoted(/let port = ("(?:[^"\\]|\\.)*");/.exec(ENTRY)?.[1] ?? '');
}

/** Returns what a Rust literal stands for. */
function unquoted(literal: string): string {
  return literal.slice(1, -1).replace(/\\(.)/g, (_, c: string) => ({ n: '\n', r: '\r', t: '\t' })[c] ?? c);
}

/** Returns what `expect_test` makes of a literal of several lines. */
function unindented(raw: string): string {
  return raw
    .trim()
    .split('\n')
    .map((line) => line.trim())
    .join('\n');
}

function refusal(text: string): string {
  try {
    readGame('game.toml', text);
  } catch (error: unknown) {
    if (error instanceof Error) return error.message;
  }
  return 'accepted';
}

/** The two parsers have words of their own for what is not TOML. */
function withoutParsersWords(text: string): string {
  return text.replace(/not TOML: .*/, 'not TOML');
}

describe('the catalogue', () => {
  const cases = rustCases();

  it('is compared by all the cases that the Rust loader has', () => {
    const calls = ENTRY.split(/\bcheck\(\n|\bcheck\("/).length - 1;
    expect(cases.length).toBe(calls);
    expect(cases.length).toBeGreaterThan(30);
  });

  it.each(cases)('refuses $to in the words of the Rust loader', ({ from, to, expected }) => {
    expect(GOOD).toContain(from);
    expect(withoutParsersWords(refusal(GOOD.replace(from, () => to)))).toBe(withoutParsersWords(expected));
  });

  it('takes what the Rust loader takes', () => {
    expect(refusal(GOOD)).toBe('accepted');
    expect(refusal(`\uFEFF${GOOD.replaceAll('\n', '\r\n')}`)).toBe('accepted');
  });

  it('knows the keys that the Rust loader knows', () => {
    const calls = rust('games/src/entry.rs').matchAll(
      /\.(?:required|optional|list|section|sections)(?:_\w+)?\(\s*"(\w+)"/g,
    );
    const keys = [...new Set([...calls].map(([, key = '']) => key))];
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
