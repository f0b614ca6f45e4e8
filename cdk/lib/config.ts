/**
 * What people decide: `dormouse.toml`, typed and checked. Everything that is wrong is told at once, with line, key and
 * what is allowed, before anything is synthesised. `dormouse.example.toml` documents each key. Only `bin/` reads the file.
 */

import { type Game, readTimers, size, type Timers } from './catalog.ts';
import * as rule from './rule.ts';
import { readDocument, type Section } from './section.ts';

/** What tasks run on. `spot-first` takes on-demand where Spot has no room. */
export type Capacity = 'spot-first' | 'spot' | 'on-demand';

/** CPU units and memory of a task. */
export interface Size {
  readonly cpu: number;
  readonly memoryMib: number;
}

/** Discord's application, as its developer page shows it. */
export interface Discord {
  readonly application: string;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** The ids of the servers that are served. */
  readonly guilds: readonly string[];
}

/** How many instances of the functions run at once. */
export interface Functions {
  readonly frontDoorAtOnce: number;
  readonly workerAtOnce: number;
  /** Whether they are reserved, so that nobody else's calls take them and ours never take more. */
  readonly reserved: boolean;
}

/** What a month may cost before somebody is told. */
export interface Budget {
  readonly usd: number;
  readonly email: string;
}

/** Everything that people decide. */
export interface Config {
  /** What names begin with. */
  readonly prefix: string;
  readonly account: string;
  readonly region: string;
  readonly discord: Discord;
  /** The ids of the games that can be played, in the order of the file. */
  readonly games: readonly string[];
  readonly capacity: Capacity;
  /** Sizes that are not the catalogue's, by game. */
  readonly sizes: ReadonlyMap<string, Size>;
  /** When new worlds go to sleep, where that is not as the catalogue says. */
  readonly timers: Timers;
  readonly functions: Functions;
  /** How long archives can be got back after they were removed or overwritten, in days. */
  readonly keepRemovedDays: number;
  /** How long logs are kept, in days. */
  readonly logDays: number;
  /** Whom alarms are told. Without it they are seen in the console alone. */
  readonly alarmEmail: string | undefined;
  readonly budget: Budget | undefined;
}

/** The days for which CloudWatch keeps logs, up to a year; it takes no others. */
const LOG_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365];

/** A public key for which anybody can sign. */
const NO_KEY = '0'.repeat(64);

/** Reads the configuration `text` of `file`, whose games are those of `catalogue`; throws `BadFile`. */
export function readConfig(file: string, text: string, catalogue: ReadonlyMap<string, Game>): Config {
  return readDocument(file, text, (root) => config(root, catalogue));
}

function config(root: Section, catalogue: ReadonlyMap<string, Game>): Config | undefined {
  const prefix = root.optional(
    'prefix',
    rule.text('1 to 20 lower-case letters, digits and inner hyphens, a letter first, but not aws or ssm', isPrefix),
  );
  const games = root.list('games', 1, 50, rule.word(...catalogue.keys()));
  const place = root.section('aws', aws);
  const discord = root.section('discord', readDiscord);
  const capacity = root.optionalSection('tasks', tasks);
  const sizes = root.named('sizes', games ?? [], readSize);
  const timers = root.optionalSection('timers', readTimers);
  const functions = root.optionalSection('functions', readFunctions);
  const keepRemovedDays = root.optionalSection('archives', (section) =>
    section.required('keep_removed_days', rule.number(1, 365)),
  );
  const logDays = root.optionalSection('logs', (section) => section.required('days', rule.numberOf(LOG_DAYS)));
  const alarmEmail = root.optionalSection('alarms', (section) => section.required('email', EMAIL));
  const budget = root.optionalSection('budget', readBudget);
  if (games === undefined || place === undefined || discord === undefined) return undefined;
  return {
    prefix: prefix ?? 'dormouse',
    ...place,
    discord,
    games,
    capacity: capacity ?? 'spot-first',
    sizes,
    timers: timers ?? {},
    functions: functions ?? USUAL_FUNCTIONS,
    keepRemovedDays: keepRemovedDays ?? 30,
    logDays: logDays ?? 30,
    alarmEmail,
    budget,
  };
}

function aws(section: Section): { account: string; region: string } | undefined {
  const account = section.required(
    'account',
    rule.text('the twelve digits of the account, in quotes', (text) => /^\d{12}$/.test(text)),
  );
  const region = section.required(
    'region',
    rule.text('a region of the commercial partition, such as "eu-central-1"', isRegion),
  );
  return account === undefined || region === undefined ? undefined : { account, region };
}

function readDiscord(section: Section): Discord | undefined {
  const snowflake = rule.text('17 to 20 digits, in quotes', (text) => /^[1-9]\d{16,19}$/.test(text));
  const application = section.required('application', snowflake);
  const publicKey = section.required(
    'public_key',
    rule.text("the application's public key, 64 hexadecimal digits", isKey),
  );
  const guilds = section.list('guilds', 1, 50, snowflake);
  return application === undefined || publicKey === undefined || guilds === undefined
    ? undefined
    : { application, publicKey, guilds };
}

function tasks(section: Section): Capacity | undefined {
  return section.required('capacity', rule.word<Capacity>('spot-first', 'spot', 'on-demand'));
}

function readSize(section: Section): Size | undefined {
  const { cpu, memoryMib } = size(section);
  return cpu === undefined || memoryMib === undefined ? undefined : { cpu, memoryMib };
}

const USUAL_FUNCTIONS: Functions = { frontDoorAtOnce: 10, workerAtOnce: 5, reserved: true };

function readFunctions(section: Section): Functions | undefined {
  // Fewer than two would let one long archive check hold up everything: SQS gives a function two pollers at the least.
  const frontDoorAtOnce = section.optional('front_door_at_once', rule.number(2, 100));
  const workerAtOnce = section.optional('worker_at_once', rule.number(3, 50));
  const reserved = section.optional('reserved', rule.truth);
  return {
    frontDoorAtOnce: frontDoorAtOnce ?? USUAL_FUNCTIONS.frontDoorAtOnce,
    workerAtOnce: workerAtOnce ?? USUAL_FUNCTIONS.workerAtOnce,
    reserved: reserved ?? USUAL_FUNCTIONS.reserved,
  };
}

const EMAIL = rule.text(
  'an e-mail address',
  (text) => text.length <= 100 && /^[^\s@<>,;"]+@[^\s@<>,;"]+\.[^\s@<>,;"]+$/.test(text),
);

function readBudget(section: Section): Budget | undefined {
  const usd = section.required('usd', rule.number(1, 10_000));
  const email = section.required('email', EMAIL);
  return usd === undefined || email === undefined ? undefined : { usd, email };
}

function isPrefix(text: string): boolean {
  // Parameter Store keeps names that begin so for AWS.
  return /^(?!aws|ssm)[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/.test(text) && !text.includes('--');
}

/** Tells whether `text` is a region outside of China and of the governments' partitions, which lack parts of this. */
function isRegion(text: string): boolean {
  return /^(af|ap|ca|eu|il|me|mx|sa|us)-(central|north|south|east|west|northeast|northwest|southeast|southwest)-\d$/.test(
    text,
  );
}

function isKey(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text) && text !== NO_KEY;
}
