/** The cases that a Rust loader is tested with, so that ours can be tried with them, too. */

import { readGame } from '../lib/catalog.ts';

/** What is changed in a good file, and what is said of it then. */
export interface Case {
  readonly from: string;
  readonly to: string;
  readonly expected: string;
}

/** Returns the file `const GOOD` of the Rust tests `source`. */
export function good(source: string): string {
  return /const GOOD: &str = r#"([\s\S]*?)"#;/.exec(source)?.[1] ?? '';
}

/** Returns the calls `check(from, to, expect![[…]])` of the Rust tests `source`. */
export function cases(source: string): Case[] {
  const literal = String.raw`("(?:[^"\\]|\\.)*")`;
  const told = String.raw`expect!\[\s*(?:\[\s*r#"([\s\S]*?)"#\s*\]|${literal})\s*,?\s*\]`;
  const calls = source.matchAll(new RegExp(String.raw`check\(\s*${literal},\s*(?:${literal}|(\w+)),\s*${told}`, 'g'));
  return [...calls].map(([, from = '', to, name, raw, plain]) => ({
    from: unquoted(from),
    to: unquoted(to ?? variable(source, name ?? '')),
    expected: raw === undefined ? unquoted(plain ?? '') : unindented(raw),
  }));
}

/** Returns how many such calls there are, so that none is passed over. */
export function calls(source: string): number {
  return source.split(/\bcheck\(\n|\bcheck\("/).length - 1;
}

/** Returns what our loader says of a game's file: what is wrong with it, or that it is accepted. */
export function refusal(text: string): string {
  try {
    readGame('game.toml', text);
  } catch (error: unknown) {
    if (error instanceof Error) return error.message;
  }
  return 'accepted';
}

/** Returns what is said of a file without what its parser says: the two have words of their own for what is not TOML. */
export function withoutParsersWords(text: string): string {
  return text.replace(/not TOML: .*/, 'not TOML');
}

/** Returns the literal of a variable. */
function variable(source: string, name: string): string {
  return new RegExp(String.raw`let ${name} = ("(?:[^"\\]|\\.)*");`).exec(source)?.[1] ?? '';
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
