/**
 * What `cdk synth`, `diff` and `deploy` run: reads the configuration and the catalogue, and makes both stacks of them.
 *
 * The environment may say where things are, relative to the working directory:
 *
 * ```text
 * DORMOUSE_CONFIG      what people decided; ../dormouse.toml unless it is set
 * DORMOUSE_ARTEFACTS   what `cargo xtask build` made, see lib/artefacts.ts; ../target unless it is set
 * ```
 *
 * A configuration that is wrong, or an artefact that is missing, ends it with a sentence before anything is synthesised,
 * and before the toolkit's library is loaded, which takes seconds.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Artefacts } from '../lib/artefacts.ts';
import { readCatalogue } from '../lib/catalog.ts';
import { readConfig } from '../lib/config.ts';
import { BadFile } from '../lib/section.ts';

/** What people can mend. */
class Refused extends Error {}

async function main(): Promise<void> {
  const file = process.env['DORMOUSE_CONFIG'] ?? '../dormouse.toml';
  const artefacts = new Artefacts(process.env['DORMOUSE_ARTEFACTS'] ?? '../target');
  const catalogue = readCatalogue(join(import.meta.dirname, '../../games/catalog'));
  if (!existsSync(file)) {
    throw new Refused(`there is no ${file}: copy dormouse.example.toml to dormouse.toml and fill in what is yours`);
  }
  const config = readConfig(file, readFileSync(file, 'utf8'), catalogue);
  const missing = artefacts.missing(config.games);
  if (missing.length > 0) {
    throw new Refused(`build first, with \`cargo xtask build --release\`: there is no\n  ${missing.join('\n  ')}`);
  }
  const [{ App }, { deployment }] = await Promise.all([import('aws-cdk-lib'), import('../lib/deployment.ts')]);
  const app = new App();
  deployment(app, { config, catalogue, artefacts });
  app.synth();
}

try {
  await main();
} catch (error: unknown) {
  if (!(error instanceof BadFile || error instanceof Refused)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
