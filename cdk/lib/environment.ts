/**
 * What the functions are told by their environment. `control-lambda/src/config.rs` reads it; `test/agreed.test.ts` compares
 * the names with that file, both ways.
 */

import type { Game } from './catalog.ts';
import type { Capacity, Config } from './config.ts';
import type { Network } from './network/network.ts';

type Environment = Readonly<Record<string, string>>;

/** What both functions are told. */
export interface Both {
  readonly config: Config;
  /** The games that are deployed, with the sizes that they have. */
  readonly games: readonly Pick<Game, 'id' | 'cpu' | 'memoryMib'>[];
  readonly table: string;
  readonly bucket: string;
  readonly queueUrl: string;
  /** The prefix of the secrets in Parameter Store. */
  readonly parameters: string;
}

/** Returns what both functions are told. */
export function both({ config, games, table, bucket, queueUrl, parameters }: Both): Environment {
  return {
    DORMOUSE_TABLE: table,
    DORMOUSE_QUEUE_URL: queueUrl,
    DORMOUSE_BUCKET: bucket,
    DORMOUSE_PARAMETERS: parameters,
    DORMOUSE_DISCORD_APPLICATION: config.discord.application,
    DORMOUSE_DISCORD_PUBLIC_KEY: config.discord.publicKey,
    DORMOUSE_DISCORD_GUILDS: config.discord.guilds.join(','),
    DORMOUSE_GAMES: games.map(({ id, cpu, memoryMib }) => `${id}=${cpu}/${memoryMib}`).join(','),
    ...timersOf(config),
  };
}

/** Returns when new worlds go to sleep, where that is not as the catalogue says. */
function timersOf({ timers }: Config): Environment {
  const all = Object.entries(timers).map(([timer, seconds]) => [`DORMOUSE_${timer.toUpperCase()}_S`, String(seconds)]);
  return Object.fromEntries(all) as Environment;
}

/** What only the worker is told. */
export interface OfWorker {
  readonly config: Config;
  readonly network: Network;
  readonly cluster: string;
  /** Where watchdogs reach the front door. */
  readonly controlUrl: string;
}

/** Returns what only the worker is told: how tasks are run. */
export function ofWorker({ config, network, cluster, controlUrl }: OfWorker): Environment {
  const groups = [...network.games].map(([game, group]) => `${game}=${group.securityGroupId}`);
  return {
    DORMOUSE_CLUSTER: cluster,
    DORMOUSE_PREFIX: config.prefix,
    DORMOUSE_SUBNETS: network.subnetIds.join(','),
    DORMOUSE_SECURITY_GROUPS: network.tasks.securityGroupId,
    DORMOUSE_GAME_SECURITY_GROUPS: groups.join(','),
    DORMOUSE_CAPACITY_PROVIDERS: PROVIDERS[config.capacity],
    DORMOUSE_CONTROL_URL: controlUrl,
  };
}

/** What tasks run on, the first choice first. */
const PROVIDERS: Readonly<Record<Capacity, string>> = {
  'spot-first': 'FARGATE_SPOT,FARGATE',
  spot: 'FARGATE_SPOT',
  'on-demand': 'FARGATE',
};
