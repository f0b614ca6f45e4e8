/** Templates to look at, and how to read what is in them. */

import { inject } from 'vitest';

/** A value of a template. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Resource {
  readonly Type: string;
  readonly Properties: { readonly [key: string]: Json };
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

export interface Template {
  readonly Resources: { readonly [id: string]: Resource };
  readonly Outputs: { readonly [id: string]: { readonly Value: Json } };
}

export interface Templates {
  /** The stacks that are deployed before the service stack. */
  readonly before: readonly string[];
  readonly stateful: Template;
  readonly service: Template;
}

declare module 'vitest' {
  interface ProvidedContext {
    templates: Readonly<Record<Variant, Templates>>;
  }
}

/**
 * A configuration that templates are looked at of: the example; the example with everything that it leaves out; the
 * example where the watchdog starts the game; and where games have containers of their own.
 */
export type Variant = 'plain' | 'full' | 'by-watchdog' | 'by-container';

/** Returns the templates of a configuration. They were made once for all tests, by `synthesise.ts`. */
export function templates(variant: Variant = 'plain'): Templates {
  return inject('templates')[variant];
}

/** Returns the resources of a type with their logical ids. */
export function ofType(template: Template, type: string): [string, Resource][] {
  return Object.entries(template.Resources).filter(([, resource]) => resource.Type === type);
}

/** Returns a value as one line, in which references read `${Thing.Attribute}`. */
export function flat(value: Json | undefined): string {
  if (value === undefined || value === null || typeof value !== 'object') return String(value);
  if (isList(value)) return value.map(flat).join(', ');
  const [[name, inner] = ['', null]] = Object.entries(value);
  if (name === 'Ref') return `\${${flat(inner)}}`;
  if (name === 'Fn::GetAtt' && isList(inner)) return `\${${inner.map(flat).join('.')}}`;
  if (name === 'Fn::ImportValue') return `\${${imported(flat(inner))}}`;
  if (name === 'Fn::Sub') return flat(inner);
  if (name === 'Fn::Join' && isList(inner) && isList(inner[1] ?? null))
    return (inner[1] as Json[]).map(flat).join(flat(inner[0]));
  return JSON.stringify(value);
}

/** Returns `Worlds.Arn` for the export of an attribute of the stateful stack. */
function imported(name: string): string {
  return name
    .replace(/^.*:ExportsOutput(?:Ref|FnGetAtt)/, '')
    .replace(/[0-9A-F]{8}(Arn)?[0-9A-F]{8}$/, (_, attribute?: string) =>
      attribute === undefined ? '' : `.${attribute}`,
    );
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** Returns the list that a property is, or that one value of it stands for. */
export function list(value: Json | undefined): readonly Json[] {
  if (value === undefined) return [];
  return isList(value) ? value : [value];
}
