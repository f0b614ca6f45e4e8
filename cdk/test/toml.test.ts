/** That a document is read with the lines of its values. */

import { describe, expect, it } from 'vitest';

import { NotToml, parse, type Value } from '../lib/toml.ts';

/** Returns a value with the line of each of its parts. */
function shown(value: Value): unknown {
  switch (value.kind) {
    case 'table':
      return Object.fromEntries([...value.entries].map(([key, entry]) => [`${key}@${entry.line}`, shown(entry.value)]));
    case 'list':
      return value.items.map(shown);
    case 'string':
      return value.text;
    case 'integer':
      return Number(value.number);
    case 'boolean':
      return value.truth;
    case 'other':
      return `other ${value.shown}`;
  }
}

describe('a document', () => {
  it('keeps the line of each value', () => {
    const text = `a = 1
b.c = "x"
"d e" = [true, [
  2.5,
]]
[f.g]
h = { i = 1979-05-27, j.k = 0x10 }
[[l]]
m = 1
[[l]]
[l.n]
o = """
p"""
[b.q]
r = 's'
`;
    expect(shown(parse(text))).toEqual({
      'a@1': 1,
      'b@2': { 'c@2': 'x', 'q@14': { 'r@15': 's' } },
      'd e@3': [true, ['other 2.5']],
      'f@6': { 'g@6': { 'h@7': { 'i@7': 'other 1979-05-27', 'j@7': { 'k@7': 16 } } } },
      'l@8': [{ 'm@9': 1 }, { 'n@11': { 'o@12': 'p' } }],
    });
  });

  it.each(['a = ', 'a = 1\na = 2', '[a]\n[a]', 'a = 1\n[a.b]', '[[a]]\n[a]', 'a = {b = 1}\n[a.c]', 'a = []\n[[a]]'])(
    'is none: %s',
    (text) => {
      expect(() => parse(text)).toThrow(NotToml);
    },
  );
});
