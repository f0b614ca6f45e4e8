/**
 * `npm run --silent estimate -- CONFIG [hours=N] [files_gb=N] [cold_files_gb=N] [archives_gb=N] [images_gb=N] [--json]`:
 * what the configuration costs. Without numbers it takes those of an ordinary group: 40 hours of play a month, shared among
 * the games.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { readCatalogue } from '../lib/catalog.ts';
import { readConfig } from '../lib/config.ts';
import { games } from '../lib/games.ts';
import { estimate, told } from '../lib/estimate.ts';
import { REGION, SEEN } from '../lib/prices.ts';
import { BadFile } from '../lib/section.ts';

/** What an ordinary group has. */
const USUAL = { hours: 40, files_gb: 2, cold_files_gb: 3, archives_gb: 10, images_gb: 3 };

function main(args: readonly string[]): void {
  const [file = '../dormouse.toml'] = args.filter((arg) => !arg.includes('=') && !arg.startsWith('--'));
  const catalogue = readCatalogue(join(import.meta.dirname, '../../games/catalog'));
  const config = readConfig(file, readFileSync(file, 'utf8'), catalogue);
  const number = (name: keyof typeof USUAL): number => {
    const given = args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1);
    const value = given === undefined ? USUAL[name] : Number(given);
    if (!Number.isFinite(value) || value < 0) throw new BadFile(`${name}=${given}: use a number from 0`);
    return value;
  };
  const result = estimate({
    games: games(config, catalogue),
    capacity: config.capacity,
    hours: Object.fromEntries(config.games.map((id) => [id, number('hours') / config.games.length])),
    filesGb: number('files_gb'),
    coldFilesGb: number('cold_files_gb'),
    archivesGb: number('archives_gb'),
    imagesGb: number('images_gb'),
  });
  if (args.includes('--json')) console.log(JSON.stringify({ region: REGION, seen: SEEN, ...result }));
  else console.log(`${told(result)}\nprices of ${REGION} as of ${SEEN}; yours is ${config.region}`);
}

try {
  main(process.argv.slice(2));
} catch (error: unknown) {
  if (!(error instanceof BadFile)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
