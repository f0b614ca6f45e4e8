/**
 * A TOML document as a tree that knows the line of each value, so that whoever refuses one can name it.
 *
 * toml-eslint-parser is the parser of a linter: it keeps positions, which parsers for configuration throw away.
 */

import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';

/** A value and the line, from 1, on which it begins. */
export type Value =
  | { readonly kind: 'string'; readonly text: string; readonly line: number }
  | { readonly kind: 'integer'; readonly number: bigint; readonly line: number }
  | { readonly kind: 'boolean'; readonly truth: boolean; readonly line: number }
  | { readonly kind: 'other'; readonly shown: string; readonly line: number }
  | { readonly kind: 'list'; readonly items: readonly Value[]; readonly line: number }
  | Table;

/** A table: keys in the order of the document. */
export interface Table {
  readonly kind: 'table';
  readonly line: number;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** A value of a table, and the line of its key. */
export interface Entry {
  readonly line: number;
  readonly value: Value;
}

/** Says that a text is not TOML, and where. */
export class NotToml extends Error {
  readonly line: number;

  constructor(line: number, why: string) {
    super(why);
    this.line = line;
  }
}

/** Returns the document that `text` is; throws {@link NotToml}. */
export function parse(text: string): Table {
  const root = draft(1);
  for (const part of program(text)) {
    if (part.type === 'TOMLKeyValue') {
      assign(root, part);
    } else {
      const table = descend(root, part.resolvedKey, part.loc.start.line);
      part.body.forEach((pair) => assign(table, pair));
    }
  }
  return root;
}

/** A table that is being read. */
interface Draft extends Table {
  readonly entries: Map<string, Entry>;
}

/** A list of tables that is being read. */
interface DraftList {
  readonly kind: 'list';
  readonly items: Draft[];
  readonly line: number;
}

function program(text: string): (AST.TOMLKeyValue | AST.TOMLTable)[] {
  try {
    return parseTOML(text.replace(/^\uFEFF/, ''), { tomlVersion: '1.0' }).body[0].body;
  } catch (error: unknown) {
    if (error instanceof ParseError) throw new NotToml(error.lineNumber, error.message);
    throw error;
  }
}

function draft(line: number): Draft {
  return { kind: 'table', line, entries: new Map() };
}

/**
 * Returns the table at `path`, made on the way where it is not there. A number in the path is the place in the list
 * before it, so that a list and its table are one step.
 */
function descend(root: Draft, path: readonly (string | number)[], line: number): Draft {
  let at = root;
  path.forEach((step, n) => {
    const place = path[n + 1];
    if (typeof step === 'string')
      at = typeof place === 'number' ? tableOfList(at, step, place, line) : inner(at, step, line);
  });
  return at;
}

// The parser has seen to it that what has this name is a table, or a list of them, and nothing else.
function inner(table: Draft, key: string, line: number): Draft {
  const there = table.entries.get(key)?.value as Draft | undefined;
  const found = there ?? draft(line);
  if (there === undefined) table.entries.set(key, { line, value: found });
  return found;
}

function tableOfList(table: Draft, key: string, place: number, line: number): Draft {
  const there = table.entries.get(key)?.value as DraftList | undefined;
  const list = there ?? { kind: 'list', items: [], line };
  if (there === undefined) table.entries.set(key, { line, value: list });
  const found = list.items[place] ?? draft(line);
  if (list.items[place] === undefined) list.items.push(found);
  return found;
}

function assign(table: Draft, pair: AST.TOMLKeyValue): void {
  const keys = pair.key.keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value));
  const line = pair.loc.start.line;
  const holder = descend(table, keys.slice(0, -1), line);
  holder.entries.set(keys.at(-1) ?? '', { line, value: value(pair.value) });
}

function value(node: AST.TOMLContentNode): Value {
  const line = node.loc.start.line;
  switch (node.type) {
    case 'TOMLArray':
      return { kind: 'list', items: node.elements.map(value), line };
    case 'TOMLInlineTable': {
      const table = draft(line);
      node.body.forEach((pair) => assign(table, pair));
      return table;
    }
    case 'TOMLValue':
      return scalar(node, line);
  }
}

function scalar(node: AST.TOMLValue, line: number): Value {
  switch (node.kind) {
    case 'string':
      return { kind: 'string', text: node.value, line };
    case 'integer':
      return { kind: 'integer', number: BigInt(node.bigint), line };
    case 'boolean':
      return { kind: 'boolean', truth: node.value, line };
    case 'float':
      return { kind: 'other', shown: node.number, line };
    case 'offset-date-time':
    case 'local-date-time':
    case 'local-date':
    case 'local-time':
      return { kind: 'other', shown: node.datetime, line };
  }
}
