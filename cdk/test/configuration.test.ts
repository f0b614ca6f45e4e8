/** That `dormouse.toml` is read as Rust reads it: the cases and the expected words are those of `games/src/configuration.rs`. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readConfig } from '../lib/config.ts';
import { CATALOGUE } from './example.ts';
import { calls, cases, good, withoutParsersWords } from './rust-cases.ts';
import { ROOT, rust } from './rust.ts';

/** Those that the cases know, however many there are. */
const THREE = new Map([...CATALOGUE].filter(([id]) => ['luanti', 'openttd', 'valheim'].includes(id)));

const CONFIGURATION = rust('games/src/configuration.rs', 'with tests');
const GOOD = good(CONFIGURATION);

function refusal(text: string): string {
  try {
    readConfig('dormouse.toml', text, THREE);
  } catch (error: unknown) {
    if (error instanceof Error) return error.message;
  }
  return 'accepted';
}

describe('the configuration', () => {
  const all = cases(CONFIGURATION);

  it('is compared by all the cases that the Rust programs have', () => {
    expect(all.length).toBe(calls(CONFIGURATION));
    expect(all.length).toBeGreaterThan(15);
  });

  it.each(all)('is refused with $to in the words of the Rust programs', ({ from, to, expected }) => {
    expect(GOOD).toContain(from);
    expect(withoutParsersWords(refusal(GOOD.replace(from, () => to)))).toBe(withoutParsersWords(expected));
  });

  it('is taken where the Rust programs take it', () => {
    expect(refusal(GOOD)).toBe('accepted');
  });

  it('has the keys that the Rust programs know', () => {
    const read = rust('games/src/configuration.rs').matchAll(
      /\.(?:required|optional|list|section|optional_section|named)\(\s*"(\w+)"/g,
    );
    const theirs = [...new Set([...read].map(([, key = '']) => key))];
    const ours = readFileSync(join(ROOT, 'cdk/lib/config.ts'), 'utf8');
    expect(theirs.length).toBeGreaterThan(20);
    expect(theirs.filter((key) => !ours.includes(`'${key}'`))).toEqual([]);
  });
});
