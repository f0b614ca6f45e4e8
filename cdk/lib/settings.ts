/** What people can choose for a world of a game, as far as it is refused: in the words of `games/src/setting.rs`. */

import * as rule from './rule.ts';
import type { Section } from './section.ts';

/** How many settings a game can have, and how many of them people can be made to choose. */
const MOST_SETTINGS = 25;
const MOST_ASKED = 5;

/** The longest value in characters, the most items of a list, and the most options of a choice. */
const LONGEST_VALUE = 2000;
const MOST_ITEMS = 50;
const MOST_OPTIONS = 25;

/** The longest line about a setting, and the longest address of terms. */
const LONGEST_LINE = 100;

const MOST_U32 = 4_294_967_295;

const TYPES = ['text', 'password', 'number', 'choice', 'switch', 'list', 'terms'] as const;

type Type = (typeof TYPES)[number];

/** What may be a default, if there may be one. */
type Default = rule.Rule<string | number | boolean>;

/** Those that can have a default: secrets, lists and consent have none. */
const HAVE_DEFAULT: readonly Type[] = ['text', 'number', 'choice', 'switch'];

const ANYTHING: Default = { allowed: 'anything', read: () => true };

interface Kind {
  readonly type: Type;
  readonly takes?: Default;
}

/** Checks all settings of a game. */
export function checkSettings(root: Section): void {
  const before: string[] = [];
  const settings = root.optionalSections('settings', 1, MOST_SETTINGS, (section) => {
    const setting = checkSetting(section);
    if (setting === undefined) return undefined;
    if (before.includes(setting.name)) {
      section.complain('name', `is "${setting.name}" a second time: use another one`);
    }
    before.push(setting.name);
    return setting;
  });
  if ((settings?.filter(({ required }) => required).length ?? 0) > MOST_ASKED) {
    const use = 'use `required` and terms for fewer';
    root.complain('settings', `has more than ${MOST_ASKED} that are asked for: ${use}`);
  }
}

function checkSetting(section: Section): { readonly name: string; readonly required: boolean } | undefined {
  const name = section.required('name', rule.text('1 to 32 lower-case letters, digits and inner hyphens', rule.isSlug));
  const title = section.required('title', rule.text('1 to 40 printable characters', rule.isTitle));
  section.optional('about', rule.text('1 to 100 printable characters', isRemark));
  const type = section.required('type', rule.word<Type>(...TYPES));
  const kind = type === undefined ? undefined : readKind(section, type);
  const takes = kind === undefined && type !== undefined && HAVE_DEFAULT.includes(type) ? ANYTHING : kind?.takes;
  const chosen = takes === undefined ? undefined : section.optional('default', takes);
  let required = type === 'terms';
  if (type !== undefined && type !== 'terms') {
    required = section.optional('required', rule.onlyTrue('leave it out where it can be left out')) === true;
    if (required && chosen !== undefined) section.complain('required', 'needs no `default`: use one of the two');
    section.optional('change', rule.word('any', 'create'));
  }
  return name === undefined || title === undefined || kind === undefined ? undefined : { name, required };
}

function readKind(section: Section, type: Type): Kind | undefined {
  switch (type) {
    case 'text':
    case 'password': {
      const fitting = readCharacters(section);
      if (fitting === undefined) return undefined;
      return type === 'text' ? { type, takes: fitting } : { type };
    }
    case 'number': {
      const range = readRange(section, 0, MOST_U32);
      return range === undefined ? undefined : { type, takes: rule.number(...range) };
    }
    case 'choice': {
      const options = section.list('options', 2, MOST_OPTIONS, rule.text('1 to 40 printable characters', rule.isTitle));
      return options === undefined ? undefined : { type, takes: rule.word(...options) };
    }
    case 'switch':
      return { type, takes: rule.truth };
    case 'list':
      return readRange(section, 0, MOST_ITEMS) === undefined ? undefined : { type };
    case 'terms': {
      const allowed = 'an address that begins with https://, at most 100 characters';
      return section.required('url', rule.text(allowed, isUrl)) === undefined ? undefined : { type };
    }
  }
}

/** Reads how long a text may be, and of which characters; returns what may be its default. */
function readCharacters(section: Section): Default | undefined {
  const length = readRange(section, 1, LONGEST_VALUE);
  const allow = section.optional('allow', rule.word('any', 'plain', 'word')) ?? 'plain';
  if (length === undefined) return undefined;
  const [least, most] = length;
  const special = '" \\ ` $ # ; = < > { } |';
  const said = {
    any: 'printable characters, no space at either end',
    plain: `characters, none of ${special}, no space at either end`,
    word: 'letters, digits, dots, hyphens and underscores',
  }[allow];
  const allowed = { any: /^.*$/u, plain: /^[^"\\`$#;=<>{}|]*$/u, word: /^[A-Za-z0-9._-]*$/ }[allow];
  return rule.text(`${least} to ${most} ${said}`, (text) => {
    const count = [...text].length;
    return isLine(text) && count >= least && count <= most && text.trim() === text && allowed.test(text);
  });
}

function readRange(section: Section, lowest: number, highest: number): [number, number] | undefined {
  const bounds = rule.number(lowest, highest);
  const least = section.required('least', bounds);
  const most = section.required('most', bounds);
  if (least === undefined || most === undefined) return undefined;
  if (least > most) {
    section.complain('least', 'is more than `most`: use a smaller one');
    return undefined;
  }
  return [least, most];
}

function isRemark(text: string): boolean {
  const length = [...text].length;
  return length >= 1 && length <= LONGEST_LINE && isLine(text) && text.trim() === text;
}

/** Tells whether `text` has nothing in it that could begin another line, or show a line as it is not. */
function isLine(text: string): boolean {
  return !/[\p{Cc}\u2028-\u202e\u2066-\u2069\u200b-\u200f\ufeff]/u.test(text);
}

function isUrl(text: string): boolean {
  return text.length <= LONGEST_LINE && /^https:\/\/[!-~]+$/.test(text) && !/["'`<>\\]/.test(text);
}
