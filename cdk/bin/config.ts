/**
 * `node --import tsx bin/config.ts CONFIG`: what `cargo xtask deploy` and `destroy` have to know of the configuration, as
 * JSON (`xtask/src/cloud/config.rs` reads it). One that is wrong ends it with a sentence for each mistake.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { readCatalogue } from '../lib/catalog.ts';
import { readConfig } from '../lib/config.ts';
import { games } from '../lib/games.ts';
import { BadFile } from '../lib/section.ts';

function main(file = '../dormouse.toml'): void {
  if (!existsSync(file)) {
    throw new BadFile(`there is no ${file}: copy dormouse.example.toml to dormouse.toml and fill in what is yours`);
  }
  const catalogue = readCatalogue(join(import.meta.dirname, '../../games/catalog'));
  const config = readConfig(file, readFileSync(file, 'utf8'), catalogue);
  const { prefix, account, region, discord, functions } = config;
  const played = games(config, catalogue).map(({ id, architectures }) => ({ id, architectures }));
  console.log(JSON.stringify({ prefix, account, region, discord, functions, games: played }, undefined, 2));
}

try {
  main(process.argv[2]);
} catch (error: unknown) {
  if (!(error instanceof BadFile)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
