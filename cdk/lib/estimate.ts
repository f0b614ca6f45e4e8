/**
 * What it costs: asleep, by the hour of each game, and in a month of so many hours. An estimate of what the configuration
 * decides; taxes, and traffic beyond what is free, are not in it.
 */

import type { Game } from './catalog.ts';
import type { Capacity } from './config.ts';
import { HOURS, PRICES, SPOT_SHARE } from './prices.ts';

/** What is estimated. */
export interface Use {
  /** The games, with the sizes that they have. */
  readonly games: readonly Pick<Game, 'id' | 'architectures' | 'cpu' | 'memoryMib'>[];
  readonly capacity: Capacity;
  /** Hours of play in a month, by game. */
  readonly hours: Readonly<Record<string, number>>;
  /** The worlds' files, in GB; those that nobody opened for 30 days cost a twelfth. */
  readonly filesGb: number;
  readonly coldFilesGb: number;
  /** Their archives, in GB. */
  readonly archivesGb: number;
  /** The images of the games and the watchdog, in GB. Old ones count until somebody removes them. */
  readonly imagesGb: number;
}

/** One line of an estimate, in dollars. */
export interface Line {
  readonly what: string;
  readonly usd: number;
}

/** What it costs, in dollars. */
export interface Estimate {
  /** What a month costs in which nobody plays, by what it is for. */
  readonly asleep: readonly Line[];
  /** What an hour of each game costs. */
  readonly hourly: readonly Line[];
  /** What the hours of a month come to, by game. */
  readonly played: readonly Line[];
  /** What the month costs in all. */
  readonly month: number;
}

/** How many looks at the index the sweep takes in a month: one a minute, of half a read unit each. */
const SWEEP_READS = (HOURS * 60) / 2;

/** Returns what `use` costs. */
export function estimate(use: Use): Estimate {
  const asleep = storage(use);
  const hourly = use.games.map((game) => ({ what: game.id, usd: hour(game, use.capacity) }));
  const played = hourly.map(({ what, usd }) => ({ what, usd: usd * (use.hours[what] ?? 0) }));
  return { asleep, hourly, played, month: sum(asleep) + sum(played) };
}

function storage(use: Use): Line[] {
  return [
    { what: 'files of the worlds, played lately (EFS)', usd: use.filesGb * PRICES.filesGb.usd },
    { what: 'files of the worlds, not played for 30 days (EFS)', usd: use.coldFilesGb * PRICES.coldFilesGb.usd },
    { what: 'archives (S3)', usd: use.archivesGb * PRICES.archivesGb.usd },
    { what: 'images of the games (ECR)', usd: use.imagesGb * PRICES.imagesGb.usd },
    { what: 'the sweep (DynamoDB)', usd: (SWEEP_READS / 1e6) * PRICES.indexReads.usd },
  ];
}

/** Returns what an hour of a game costs. On Spot first, it is what Spot costs: it has room nearly always. */
function hour(game: Use['games'][number], capacity: Capacity): number {
  const arm = game.architectures.includes('arm64');
  const core = arm ? PRICES.coreHourArm64.usd : PRICES.coreHourAmd64.usd;
  const gb = arm ? PRICES.gbHourArm64.usd : PRICES.gbHourAmd64.usd;
  const task = (game.cpu / 1024) * core + (game.memoryMib / 1024) * gb;
  return task * share(capacity) + PRICES.addressHour.usd;
}

function share(capacity: Capacity): number {
  switch (capacity) {
    case 'spot-first':
    case 'spot':
      return SPOT_SHARE;
    case 'on-demand':
      return 1;
  }
}

function sum(lines: readonly Line[]): number {
  return lines.reduce((all, { usd }) => all + usd, 0);
}

/** Returns the estimate as people read it. */
export function told({ asleep, hourly, played, month }: Estimate): string {
  const row = ({ what, usd }: Line, digits: number): string =>
    `  ${what.padEnd(52)} $${usd.toFixed(digits).padStart(8)}`;
  const hoursPlayed = played
    .filter(({ usd }) => usd > 0)
    .map((line) => row({ ...line, what: `${line.what}, played` }, 2));
  return [
    'asleep, a month:',
    ...asleep.map((line) => row(line, 2)),
    row({ what: 'together', usd: sum(asleep) }, 2),
    'awake, an hour:',
    ...hourly.map((line) => row(line, 4)),
    'the month:',
    ...hoursPlayed,
    row({ what: 'together with what is asleep', usd: month }, 2),
  ].join('\n');
}
