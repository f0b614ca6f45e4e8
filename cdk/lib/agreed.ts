/**
 * What Rust and the template both know, and nobody else decides. `test/agreed.test.ts` compares each with the Rust file
 * that has it.
 */

/** Where a container has the worlds' file system (`control-lambda/src/wiring.rs`). */
export const WORLDS_DIR = '/worlds';

/** Where the watchdog's container has a directory of the task's own (`control-lambda/src/wiring.rs`). */
export const TASK_DIR = '/task';

/** The container of the watchdog, in every task definition (`adapters/src/runtime/ecs.rs`). */
export const WATCHDOG = 'watchdog';

/**
 * How a game is started (`control-lambda/src/wiring.rs`, `game_container`).
 *
 * - `by-watchdog`: by the watchdog, in its own container. The image has both.
 * - `by-container`: as a container of its own, once the watchdog is healthy.
 */
export type GameStart = 'by-watchdog' | 'by-container';

/** What holds now. */
export const GAME_START: GameStart = 'by-container';

/** The game's container where it has one of its own. */
export const GAME = 'game';

/** The user and group that games run as (`control-lambda/src/config.rs`). */
export const GAME_USER = '10001:10001';

/** What the name of the task definition that removes worlds ends with (`adapters/src/runtime/ecs.rs`). */
export const ERASE = 'erase';

/** The secrets below the prefix in Parameter Store (`control-lambda/src/config.rs`). */
export const SECRETS = ['launch-secret', 'api-token', 'discord-token'] as const;

/** The parameter that tells the front door its own address, for the links that it gives people. */
export const CONTROL_URL = 'control-url';

/** The table's keys, its index, and the index's keys (`adapters/src/store/dynamodb/item.rs`). */
export const TABLE = {
  partition: 'pk',
  sort: 'sk',
  index: 'unsettled',
  indexPartition: 'unsettled',
  indexSort: 'id',
} as const;

/** What the keys of objects begin with (`adapters/src/archive/s3.rs`). */
export const ARCHIVES = 'worlds/';
export const UPLOADS = 'uploads/';
export const IMPORTS = 'imports/';

/** How long the worker may take for a batch of messages and for a sweep, in seconds (`control-lambda/src/work.rs`). */
export const BATCH_LIMIT_S = 180;
export const SWEEP_LIMIT_S = 240;

/** How often a message is given out before it counts as dead (`adapters/src/queue/sqlite.rs`). */
export const MOST_RECEIVES = 20;

/** Where CloudWatch has the functions' own figures, and those that alarms watch (`control-lambda/src/telemetry.rs`). */
export const FIGURES = { namespace: 'Dormouse', answerFailed: 'AnswerFailed', sweepMs: 'SweepMs' } as const;

/** Discord's side of the front door (`docs/discord.md`). */
export const INTERACTIONS_PATH = 'discord/interactions';
