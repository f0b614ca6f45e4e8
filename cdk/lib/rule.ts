/** What a value may be: a function that reads it, and the words for what it takes. The same rules as `games/src/rule.rs`. */

import type { Value } from './toml.ts';

/** What a value may be. */
export interface Rule<T> {
  /** Completes "use …"; names the type, so that it also answers a value of the wrong one. */
  readonly allowed: string;
  /** Returns the value if it is allowed. */
  readonly read: (value: Value) => T | undefined;
}

/** Allows texts for which `ok` holds. */
export function text(allowed: string, ok: (text: string) => boolean): Rule<string> {
  return { allowed, read: (value) => (value.kind === 'string' && ok(value.text) ? value.text : undefined) };
}

/** Allows some words. */
export function word<W extends string>(...words: readonly W[]): Rule<W> {
  return {
    allowed: either(words),
    read: (value) => words.find((word) => value.kind === 'string' && value.text === word),
  };
}

/** Allows whole numbers from `least` to `most`. */
export function number(least: number, most: number): Rule<number> {
  return {
    allowed: `a number from ${least} to ${most}`,
    read: (value) => {
      const whole = wholeNumber(value);
      return whole !== undefined && whole >= least && whole <= most ? whole : undefined;
    },
  };
}

/** Allows some numbers. */
export function numberOf(choices: readonly number[]): Rule<number> {
  return {
    allowed: `one of the numbers ${either(choices)}`,
    read: (value) => choices.find((choice) => choice === wholeNumber(value)),
  };
}

function wholeNumber(value: Value): number | undefined {
  return value.kind === 'integer' ? Number(value.number) : undefined;
}

/** Allows `true` and `false`. */
export const truth: Rule<boolean> = {
  allowed: 'true or false',
  read: (value) => (value.kind === 'boolean' ? value.truth : undefined),
};

/** Allows `true`, and says why. */
export function onlyTrue(why: string): Rule<true> {
  return { allowed: `true: ${why}`, read: (value) => (value.kind === 'boolean' && value.truth ? true : undefined) };
}

const LIKE = 'written like "90s", "15m" or "1h30m"';

/** Allows lengths of time from `least` to `most` seconds. */
export function durationWithin(least: number, most: number): Rule<number> {
  return {
    allowed: `a duration from ${length(least)} to ${length(most)}, ${LIKE}`,
    read: (value) => {
      const seconds = span(value);
      return seconds !== undefined && seconds >= least && seconds <= most ? seconds : undefined;
    },
  };
}

/** Allows any length of time, in seconds. */
export const duration: Rule<number> = { allowed: `a duration ${LIKE}`, read: span };

/** Reads whole hours, minutes and seconds, in this order, and returns seconds. */
export function span(value: Value): number | undefined {
  if (value.kind !== 'string') return undefined;
  const parts = /^(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(value.text);
  if (parts === null) return undefined;
  const [hours, minutes, seconds] = [1, 2, 3].map((part) => Number(parts[part] ?? 0));
  const all = (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
  return Number.isSafeInteger(all) ? all : undefined;
}

/** Returns `seconds` as they are written in a file. */
export function length(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor((seconds % 3600) / 60), 'm'],
    [seconds % 60, 's'],
  ] as const;
  return (
    parts
      .filter(([n]) => n > 0)
      .map(([n, unit]) => `${n}${unit}`)
      .join(' ') || '0s'
  );
}

/** Returns `a, b or c`. */
export function either(words: readonly (string | number)[]): string {
  if (words.length < 2) return String(words[0] ?? 'nothing');
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** Tells whether `text` can be a name in ids and variables. */
export function isSlug(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(text);
}

/** Tells whether `text` can be a name for people. */
export function isTitle(text: string): boolean {
  const length = [...text].length;
  return length >= 1 && length <= 40 && !/\p{Cc}/u.test(text) && text.trim() === text;
}
