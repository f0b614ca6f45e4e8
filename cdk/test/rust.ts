/** Reading the Rust beside us, for tests that compare: what two languages must agree on has to be read from both. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The root of the repository. */
export const ROOT = join(import.meta.dirname, '../..');

/** Returns the text of a Rust file, without its tests unless they are asked for. */
export function rust(path: string, tests: 'without tests' | 'with tests' = 'without tests'): string {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const at = text.search(/#\[cfg\(test\)\]\n(?:pub\(crate\) )?mod tests \{/);
  return tests === 'with tests' || at < 0 ? text : text.slice(0, at);
}

/** Returns the value of `const NAME: … = "value"`. */
export function constant(path: string, name: string): string {
  const found = new RegExp(`const ${name}: &(?:'static )?str = "([^"]*)"`).exec(rust(path));
  if (found?.[1] === undefined) throw new Error(`${path} has no constant ${name}`);
  return found[1];
}

/** Returns the seconds of `const NAME: Duration = Duration::from_secs(a * b)`. */
export function seconds(path: string, name: string): number {
  const found = new RegExp(`const ${name}: Duration = Duration::from_secs\\(([\\d *_]+)\\)`).exec(rust(path));
  if (found?.[1] === undefined) throw new Error(`${path} has no constant ${name}`);
  return found[1].split('*').reduce((all, factor) => all * Number(factor.replaceAll('_', '').trim()), 1);
}
