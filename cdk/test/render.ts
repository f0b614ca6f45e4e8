/**
 * A template as people read it: sorted, without what the toolkit notes for itself, references on one line, and without
 * what depends on the content of a program.
 */

import { flat, isList, type Json, type Template } from './stacks.ts';

/** What the toolkit adds for itself. */
const NOISE = ['Metadata', 'Tags', 'FileSystemTags', 'AccessPointTags'];

/** Returns the template as text. */
export function rendered({ Outputs, Resources }: Template): string {
  return text({ Outputs, Resources } as unknown as Json);
}

/** Returns a value as text. */
export function text(value: Json): string {
  return `${lines(value, '').join('\n')}\n`;
}

function lines(value: Json, indent: string): string[] {
  if (isList(value)) {
    return value.flatMap((item) => {
      const [first = '', ...rest] = isLeaf(item) ? [`${indent}  ${leaf(item)}`] : lines(item, `${indent}  `);
      return [`${indent}- ${first.slice(indent.length + 2)}`, ...rest];
    });
  }
  if (value === null || typeof value !== 'object') return [`${indent}${leaf(value)}`];
  return Object.entries(value)
    .filter(([name]) => !NOISE.includes(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, inner]) =>
      isLeaf(inner) ? [`${indent}${name}: ${leaf(inner)}`] : [`${indent}${name}:`, ...lines(inner, `${indent}  `)],
    );
}

function isLeaf(value: Json): boolean {
  if (value === null || typeof value !== 'object') return true;
  if (isList(value)) return value.length === 0;
  const names = Object.keys(value);
  return names.length === 0 || (names.length === 1 && /^(Ref$|Fn::)/.test(names[0] ?? ''));
}

function leaf(value: Json): string {
  if (isList(value)) return '[]';
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) return '{}';
  return flat(value)
    .replaceAll(/[0-9a-f]{64}(?=\.zip|$)/g, '<content>')
    .replaceAll('\n', '\\n');
}
