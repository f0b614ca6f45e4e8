/**
 * What was built before: `cargo xtask build` makes it, this takes it. Below one directory (`target`):
 *
 * ```text
 * lambda/<function>/bootstrap   interactions, worker: a static program for arm64, mode 755
 * images/watchdog/              a context of `docker build`, with a Dockerfile
 * images/<game>/                the same for each game that is configured
 * ```
 *
 * An image is for the platform that the build is told (linux/arm64 or linux/amd64), and a context holds no more than goes
 * into the image, since a changed file is a new image. `docs/aws.md` and `cdk/README.md` say what must be in them.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** A function. */
export type FunctionName = 'interactions' | 'worker';

/** Where things are that were built before. */
export class Artefacts {
  private readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Returns the directory of a function's program. */
  lambda(name: FunctionName): string {
    return join(this.root, 'lambda', name);
  }

  /** Returns the context of an image's build. */
  image(name: string): string {
    return join(this.root, 'images', name);
  }

  /** Returns the files that are missing for these games. */
  missing(games: readonly string[]): string[] {
    const functions = (['interactions', 'worker'] as const).map((name) => join(this.lambda(name), 'bootstrap'));
    const images = ['watchdog', ...games].map((name) => join(this.image(name), 'Dockerfile'));
    return [...functions, ...images].filter((file) => !existsSync(file));
  }
}
