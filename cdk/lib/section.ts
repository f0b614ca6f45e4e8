/**
 * One table of a TOML document, read key by key. What is wrong is noted, and reading goes on, so that all is said at
 * once, in the words of `games/src/section.rs`.
 */

import { basename } from 'node:path';

import { either, type Rule } from './rule.ts';
import { NotToml, parse, type Table, type Value } from './toml.ts';

/** The most problems of one file that are told. */
const MOST = 20;

/** Says what is wrong with a file: a line for each problem, with the line in the file, the key, and what is allowed. */
export class BadFile extends Error {}

/** Returns what `read` makes of the document `text`; throws {@link BadFile}. */
export function readDocument<T>(file: string, text: string, read: (root: Section) => T | undefined): T {
  const problems: Problem[] = [];
  const root = document(text, problems);
  const result = root === undefined ? undefined : Section.root(root, problems).finish(read);
  if (result === undefined || problems.length > 0) throw new BadFile(told(file, problems));
  return result;
}

interface Problem {
  readonly line: number;
  readonly what: string;
}

function document(text: string, problems: Problem[]): Table | undefined {
  try {
    return parse(text);
  } catch (error: unknown) {
    if (!(error instanceof NotToml)) throw error;
    problems.push({ line: error.line, what: `not TOML: ${error.message}` });
    return undefined;
  }
}

function told(file: string, problems: readonly Problem[]): string {
  const lines = [...problems]
    .sort((a, b) => a.line - b.line)
    .slice(0, MOST)
    .map(({ line, what }) => `${basename(file)}:${line}: ${what}`);
  if (problems.length > MOST) lines.push(`and ${problems.length - MOST} more`);
  return lines.join('\n');
}

/** A table that is being read. Whatever key was not asked for by the end is unknown, so ask for all of them. */
export class Section {
  private readonly path: string;
  private readonly table: Table;
  private readonly problems: Problem[];
  private readonly asked: string[] = [];

  private constructor(path: string, table: Table, problems: Problem[]) {
    this.path = path;
    this.table = table;
    this.problems = problems;
  }

  static root(table: Table, problems: Problem[]): Section {
    return new Section('', table, problems);
  }

  /** Returns the value of `key`, which must be there. */
  required<T>(key: string, rule: Rule<T>): T | undefined {
    this.mustHave(key, rule.allowed);
    return this.optional(key, rule);
  }

  /** Returns the value of `key` if it is there. */
  optional<T>(key: string, rule: Rule<T>): T | undefined {
    const value = this.ask(key);
    if (value === undefined) return undefined;
    const read = rule.read(value);
    if (read === undefined) this.complain(key, `is ${shown(value)}: use ${rule.allowed}`);
    return read;
  }

  /** Returns the list at `key`, which must be there and have from `least` to `most` items. */
  list<T>(key: string, least: number, most: number, rule: Rule<T>): T[] | undefined {
    this.mustHave(key, listOf(least, most, '', rule.allowed));
    return this.optionalList(key, least, most, rule);
  }

  /** Returns the list at `key` if it is there. */
  optionalList<T>(key: string, least: number, most: number, rule: Rule<T>): T[] | undefined {
    const items = this.items(key, least, most, '', rule.allowed);
    if (items === undefined) return undefined;
    const list: T[] = [];
    for (const item of items) {
      const read = rule.read(item);
      if (read === undefined) this.note(item.line, `\`${this.name(key)}\` has ${shown(item)}: use ${rule.allowed}`);
      else if (list.includes(read)) this.note(item.line, `\`${this.name(key)}\` has ${shown(item)} twice`);
      else list.push(read);
    }
    return list.length === items.length ? list : undefined;
  }

  /** Reads the table at `key`, which must be there. */
  section<T>(key: string, read: (section: Section) => T | undefined): T | undefined {
    this.mustHave(key, `a section [${key}]`);
    return this.optionalSection(key, read);
  }

  /** Reads the table at `key` if it is there. */
  optionalSection<T>(key: string, read: (section: Section) => T | undefined): T | undefined {
    const value = this.ask(key);
    return value === undefined ? undefined : this.inner(key, value, `[${key}]`, read);
  }

  /** Reads the tables at `key`, which must be from `least` to `most`. */
  sections<T>(key: string, least: number, most: number, read: (section: Section) => T | undefined): T[] | undefined {
    this.mustHave(key, listOf(least, most, `[[${key}]]`, `sections [[${key}]]`));
    return this.optionalSections(key, least, most, read);
  }

  /** Reads the tables at `key`, if it is there; they must be from `least` to `most`. */
  optionalSections<T>(
    key: string,
    least: number,
    most: number,
    read: (section: Section) => T | undefined,
  ): T[] | undefined {
    const header = `[[${key}]]`;
    const items = this.items(key, least, most, header, `sections ${header}`);
    const list = items?.map((item) => this.inner(key, item, header, read)).filter((read) => read !== undefined);
    return list?.length === items?.length ? list : undefined;
  }

  /** Reads each table in the table at `key`, whose keys must be among `names`. */
  named<T>(
    key: string,
    names: readonly string[],
    read: (section: Section, name: string) => T | undefined,
  ): Map<string, T> {
    const all = new Map<string, T>();
    this.optionalSection(key, (section) => {
      for (const name of names) {
        const one = section.optionalSection(name, (inner) => read(inner, name));
        if (one !== undefined) all.set(name, one);
      }
      return true;
    });
    return all;
  }

  /** Notes that the value of `key` is not allowed; `what` completes the sentence that the key begins. */
  complain(key: string, what: string): void {
    this.note(this.table.entries.get(key)?.value.line ?? this.table.line, `\`${this.name(key)}\` ${what}`);
  }

  /** Returns what `read` makes of the table, and notes the keys that it did not ask for. */
  finish<T>(read: (section: Section) => T | undefined): T | undefined {
    const result = read(this);
    for (const [key, { line }] of this.table.entries) {
      if (!this.asked.includes(key))
        this.note(line, `unknown key \`${this.name(short(key))}\`: use ${either(this.asked)}`);
    }
    return result;
  }

  private inner<T>(
    key: string,
    value: Value,
    header: string,
    read: (section: Section) => T | undefined,
  ): T | undefined {
    if (value.kind !== 'table') {
      this.note(value.line, `\`${this.name(key)}\` is ${shown(value)}: use a section ${header}`);
      return undefined;
    }
    return new Section(this.name(key), value, this.problems).finish(read);
  }

  private items(
    key: string,
    least: number,
    most: number,
    header: string,
    allowed: string,
  ): readonly Value[] | undefined {
    const value = this.ask(key);
    if (value === undefined) return undefined;
    if (value.kind === 'list' && value.items.length >= least && value.items.length <= most) return value.items;
    this.complain(key, `is ${shown(value)}: use ${listOf(least, most, header, allowed)}`);
    return undefined;
  }

  private ask(key: string): Value | undefined {
    if (!this.asked.includes(key)) this.asked.push(key);
    return this.table.entries.get(key)?.value;
  }

  private mustHave(key: string, allowed: string): void {
    if (this.ask(key) === undefined) this.complain(key, `is missing: use ${allowed}`);
  }

  private note(line: number, what: string): void {
    this.problems.push({ line, what });
  }

  private name(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }
}

function listOf(least: number, most: number, header: string, allowed: string): string {
  return header === '' ? `a list of ${least} to ${most} items, each ${allowed}` : `${least} to ${most} ${allowed}`;
}

/** Returns what stands in the file, as far as it fits into a line. */
function shown(value: Value): string {
  switch (value.kind) {
    case 'string':
      return `"${short(value.text)}"`;
    case 'integer':
      return String(value.number);
    case 'boolean':
      return String(value.truth);
    case 'other':
      return value.shown;
    case 'list':
      return value.items.length === 0 ? 'an empty list' : `a list of ${value.items.length}`;
    case 'table':
      return 'a table';
  }
}

/** Returns the beginning of `text`, on one line. */
function short(text: string): string {
  const letters = [...text];
  const escaped = letters.slice(0, 40).map(escape).join('');
  return letters.length > 40 ? `${escaped}…` : escaped;
}

function escape(letter: string): string {
  const named = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0', '"': '\\"', "'": "\\'", '\\': '\\\\' };
  if (letter in named) return named[letter as keyof typeof named];
  return /\p{Cc}/u.test(letter) ? `\\u{${letter.codePointAt(0)?.toString(16)}}` : letter;
}
