/** The configuration that is looked at: the example that people copy. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { readCatalogue } from '../lib/catalog.ts';
import { readConfig } from '../lib/config.ts';
import { ROOT } from './rust.ts';

export const CATALOGUE = readCatalogue(join(ROOT, 'games/catalog'));

const TEXT = readFileSync(join(ROOT, 'dormouse.example.toml'), 'utf8');

export const EXAMPLE = readConfig('dormouse.example.toml', TEXT, CATALOGUE);
