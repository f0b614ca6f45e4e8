/** That what people can choose is read as Rust reads it: the cases and words are those of `games/src/setting.rs`. */

import { describe, expect, it } from 'vitest';

import { calls, cases, good, refusal } from './rust-cases.ts';
import { rust } from './rust.ts';

const SETTING = rust('games/src/setting.rs', 'with tests');
const GOOD = good(SETTING);

describe('the settings of a game', () => {
  const all = cases(SETTING);

  it('are compared by all the cases that the Rust loader has', () => {
    expect(all.length).toBe(calls(SETTING));
    expect(all.length).toBeGreaterThan(15);
  });

  it.each(all)('are refused with $to in the words of the Rust loader', ({ from, to, expected }) => {
    expect(GOOD).toContain(from);
    expect(refusal(GOOD.replace(from, () => to))).toBe(expected);
  });

  it('are taken where the Rust loader takes them', () => {
    expect(refusal(GOOD)).toBe('accepted');
  });

  it('are no more than a chat can ask at once', () => {
    const more = [0, 1, 2, 3].map(
      (n) => `\n[[settings]]\nname = "n${n}"\ntitle = "N"\ntype = "switch"\nrequired = true\n`,
    );
    const said = /fn no_more_is_asked[\s\S]*?expect!\[\s*"([^"]*)"/.exec(SETTING)?.[1];
    expect(refusal(GOOD + more.join(''))).toBe(said?.trim());
  });
});
