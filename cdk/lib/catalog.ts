/**
 * The catalogue of games, `games/catalog/*.toml`, as far as the infrastructure needs it. What is refused, and in which
 * words, is what `games/src/entry.rs` says; `test/catalog.test.ts` takes that file's own test cases and compares.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { ERASE } from './agreed.ts';
import * as rule from './rule.ts';
import { BadFile, readDocument, type Section } from './section.ts';
import { checkSettings } from './settings.ts';

/** A processor's architecture. */
export type Architecture = 'amd64' | 'arm64';

/** A port of a game. */
export interface Port {
  readonly name: string;
  readonly number: number;
  readonly protocol: 'udp' | 'tcp';
}

/** A game, as far as the infrastructure needs it. */
export interface Game {
  /** Its id: the stem of its file's name. */
  readonly id: string;
  /** Its name, for people. */
  readonly name: string;
  /** What its image exists for. */
  readonly architectures: readonly Architecture[];
  /** CPU units, 1024 to a core. */
  readonly cpu: number;
  /** Memory in MiB; one of those that Fargate offers for `cpu`. */
  readonly memoryMib: number;
  /** Every port that it binds and a player talks to. */
  readonly ports: readonly Port[];
  /** The longest run, in seconds. */
  readonly capS: number;
}

/** The longest run where an entry names none, in seconds. */
const DEFAULT_CAP_S = 12 * 60 * 60;

/** The longest script, in bytes. */
const LONGEST_SCRIPT = 16 * 1024;

/** The timers by their keys, and from how many seconds to how many they may be. */
export const TIMERS = {
  never_joined: [5, 24 * 3600],
  last_left: [5, 24 * 3600],
  warning: [0, 3600],
  afk: [300, 24 * 3600],
  cap: [30, 7 * 24 * 3600],
} as const;

/** What a timer may be besides, in words that go on from there. */
const OR_NEVER: Readonly<Partial<Record<keyof typeof TIMERS, string>>> = { afk: ', or 0s for never' };

/** Returns the games of `dir` by their ids, in the order of the ids; throws {@link BadFile}. Hidden files are left out. */
export function readCatalogue(dir: string): Map<string, Game> {
  const files = readdirSync(dir).filter((name) => name.endsWith('.toml') && !name.startsWith('.'));
  const games = files.sort().map((name) => readGame(name, readFileSync(join(dir, name), 'utf8')));
  return new Map(games.map((game) => [game.id, game]));
}

/** Reads the entry `text` of `file`; throws {@link BadFile}. */
export function readGame(file: string, text: string): Game {
  const id = basename(file, '.toml');
  if (!rule.isSlug(id)) {
    const use = 'use 1 to 32 lower-case letters, digits and inner hyphens, such as `valheim`';
    throw new BadFile(`${basename(file)}:1: the file's name: game \`${id}\` is not valid: ${use}`);
  }
  if (id === ERASE) {
    const use = `game \`${id}\` would share its name with the task that removes worlds: use another one`;
    throw new BadFile(`${basename(file)}:1: the file's name: ${use}`);
  }
  return readDocument(file, text, (root) => game(root, id));
}

function game(root: Section, id: string): Game | undefined {
  const name = root.required('name', rule.text('1 to 40 printable characters', rule.isTitle));
  const image = root.required('image', rule.text('a container image, such as `dormouse/valheim`', isImage));
  const architectures = root.list('architectures', 1, 2, rule.word<Architecture>('amd64', 'arm64'));
  const { cpu, memoryMib } = size(root);
  const ports = readPorts(root);
  root.section('save', save);
  root.optionalSection('import', imported);
  root.section('stop', stop);
  root.section('ready', ready);
  const timers = root.optionalSection('timers', readTimers) ?? {};
  const isActiveKnown = root.optionalSection('players', players) ?? false;
  if ((timers.afk ?? 0) > 0 && !isActiveKnown) {
    root.complain('timers', 'has `afk`, which needs to know who moves: use `players.active` too');
  }
  root.optionalSection('query', (section) => query(section, ports));
  root.optionalSection('console', (section) => readConsole(section, ports));
  checkSettings(root); // 'settings'
  root.optionalSection('process', scripts);
  if (name === undefined || image === undefined || architectures === undefined) return undefined;
  if (cpu === undefined || memoryMib === undefined || ports === undefined) return undefined;
  return { id, name, architectures, cpu, memoryMib, ports, capS: timers.cap ?? DEFAULT_CAP_S };
}

/** Reads `cpu` and `memory_mib`, which must fit each other. */
export function size(section: Section): { readonly cpu: number | undefined; readonly memoryMib: number | undefined } {
  const cpu = section.required('cpu', rule.numberOf([256, 512, 1024, 2048, 4096, 8192, 16384]));
  const memoryMib = section.required('memory_mib', rule.number(512, 122_880));
  if (cpu !== undefined && memoryMib !== undefined) checkSize(section, cpu, memoryMib);
  return { cpu, memoryMib };
}

function checkSize(section: Section, cpu: number, memoryMib: number): void {
  const offered = fargateMemoryMib(cpu);
  if (offered.includes(memoryMib)) return;
  const [least = 0, next = 0] = offered;
  const allowed =
    offered.length > 4 ? `${least} to ${offered.at(-1)} in steps of ${next - least}` : rule.either(offered);
  section.complain('memory_mib', `is ${memoryMib}: with \`cpu\` ${cpu} use ${allowed}`);
}

/** Returns what memory Fargate offers with so many CPU units. */
function fargateMemoryMib(cpu: number): number[] {
  const steps = (least: number, most: number, step: number): number[] =>
    Array.from({ length: (most - least) / step + 1 }, (_, n) => least + n * step);
  switch (cpu) {
    case 256:
      return [512, 1024, 2048];
    case 512:
      return steps(1024, 4096, 1024);
    case 1024:
      return steps(2048, 8192, 1024);
    case 2048:
      return steps(4096, 16384, 1024);
    case 4096:
      return steps(8192, 30720, 1024);
    case 8192:
      return steps(16384, 61440, 4096);
    case 16384:
      return steps(32768, 122_880, 8192);
    default:
      return [];
  }
}

function readPorts(root: Section): Port[] | undefined {
  const before: Port[] = [];
  return root.sections('ports', 1, 16, (section) => {
    const port = readPort(section);
    if (port === undefined) return undefined;
    if (before.some((p) => p.name === port.name)) {
      section.complain('name', `is "${port.name}" a second time: use another one`);
    }
    if (before.some((p) => p.number === port.number && p.protocol === port.protocol)) {
      section.complain('number', `is ${port.number} a second time for ${port.protocol}: use another one`);
    }
    before.push(port);
    return port;
  });
}

function readPort(section: Section): Port | undefined {
  const name = section.required('name', rule.text('1 to 32 lower-case letters, digits and inner hyphens', rule.isSlug));
  const number = section.required('number', rule.number(1024, 65535));
  const protocol = section.required('protocol', rule.word<'udp' | 'tcp'>('udp', 'tcp'));
  return name === undefined || number === undefined || protocol === undefined ? undefined : { name, number, protocol };
}

function save(section: Section): true {
  const path = rule.text("a path below the world's files, such as `world/maps`, without `..` or `\\`", isInnerPath);
  section.list('paths', 1, 32, path);
  section.optionalList('exclude', 0, 32, path);
  return true;
}

function imported(section: Section): true {
  const name = 'a file name such as `world.mt`, or with one `*` such as `*.sav`';
  const marker = section.required('marker', rule.text(name, isPattern));
  section.required(
    'into',
    rule.text("a path below the world's files, such as `world/maps`, without `..` or `\\`", isInnerPath),
  );
  const requires = section.optionalList('requires', 0, 16, rule.text(name, isPattern)) ?? [];
  const rename = section.optional('rename', rule.text('a file name without `*`, such as `world`', isFileName));
  if (marker !== undefined && !marker.includes('*')) {
    if (requires.some((pattern) => pattern.includes('*'))) {
      section.complain('requires', 'has a `*`, which stands for that of `marker`: use one there too');
    }
    if (rename !== undefined) {
      section.complain('rename', 'takes the place of the `*` of `marker`: use one there too');
    }
  }
  return true;
}

function stop(section: Section): true {
  section.required('signal', rule.word('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'));
  section.required('grace', rule.durationWithin(1, 8 * 60));
  return true;
}

function ready(section: Section): true {
  section.optional('listening', rule.onlyTrue('a game that binds no port cannot be seen to be ready'));
  const typical = section.required('typical', rule.durationWithin(1, 10 * 60));
  const limit = section.required('limit', rule.durationWithin(5, 25 * 60));
  if (typical !== undefined && limit !== undefined && typical > limit) {
    section.complain('typical', 'is longer than `limit`: use a shorter one');
  }
  return true;
}

/** When worlds go to sleep, in seconds; what is left out is as somebody else says. */
export type Timers = Readonly<Partial<Record<keyof typeof TIMERS, number>>>;

/** Reads timers, each of which may be left out. */
export function readTimers(section: Section): Timers {
  const read: Partial<Record<keyof typeof TIMERS, number>> = {};
  for (const key of Object.keys(TIMERS) as (keyof typeof TIMERS)[]) {
    const seconds = section.optional(key, rule.duration);
    if (seconds === undefined) continue;
    const [least, most] = TIMERS[key];
    const or = OR_NEVER[key] ?? '';
    if ((seconds >= least && seconds <= most) || (seconds === 0 && or !== '')) read[key] = seconds;
    else section.complain(key, `is ${rule.length(seconds)}: use ${rule.length(least)} to ${rule.length(most)}${or}`);
  }
  return read;
}

/** Tells whether it is known who moves. */
function players(section: Section): boolean {
  const pattern = rule.text('the first 1 to 28 bytes in hexadecimal, with `??` for any', isFirstBytes);
  section.optionalList('queries', 0, 16, pattern);
  return section.optional('active', rule.number(1, 1000)) !== undefined;
}

function query(section: Section, ports: readonly Port[] | undefined): true {
  const protocol = section.required('protocol', rule.word('a2s', 'quake3', 'raknet', 'minecraft'));
  const port = section.required('port', rule.text('the name of a port', rule.isSlug));
  if (port !== undefined && ports !== undefined) checkAskedPort(section, port, ports, protocol);
  section.optional('counts_everybody', rule.onlyTrue('leave it out where the answer may leave players out'));
  return true;
}

function checkAskedPort(section: Section, name: string, ports: readonly Port[], protocol: string | undefined): void {
  const port = ports.find((p) => p.name === name);
  const transport = protocol === 'minecraft' ? 'tcp' : 'udp';
  if (port === undefined) {
    section.complain('port', `is "${name}": use ${rule.either(ports.map((p) => p.name))}`);
  } else if (protocol !== undefined && port.protocol !== transport) {
    section.complain('port', `is "${name}", a port of ${port.protocol}: use one of ${transport}`);
  }
}

/** Checks how commands are given; `ports` are those of players, which the console must not be. */
function readConsole(section: Section, ports: readonly Port[] | undefined): true {
  section.required('protocol', rule.word('rcon', 'openttd-admin'));
  const port = section.required('port', rule.number(1024, 65535));
  const command = rule.text('a command of 1 to 200 characters on one line', isCommand);
  section.list('save', 0, 8, command);
  section.optional(
    'say',
    rule.text('a command of 1 to 200 characters on one line, with one `{message}`', isAnnouncement),
  );
  const before = section.optionalList('before_copy', 0, 8, command) ?? [];
  const after = section.optionalList('after_copy', 0, 8, command) ?? [];
  if (ports?.some((p) => p.protocol === 'tcp' && p.number === port) === true) {
    section.complain('port', 'is a port of players, to whom the console must stay closed: use another one');
  }
  if (before.length > 0 && after.length === 0) {
    section.complain('before_copy', 'is never taken back: use `after_copy` too');
  }
  return true;
}

function scripts(section: Section): true {
  const script = rule.text('a shell script of 1 to 16384 bytes, with Unix line ends (LF)', isScript);
  section.optionalList('packages', 0, 32, rule.text('the name of a Debian package', isPackage));
  section.optional('bootstrap', script);
  section.required('start', script);
  section.optional('stop', script);
  section.optional('healthcheck', script);
  return true;
}

function isFileName(text: string): boolean {
  return isInnerPath(text) && !/[/*]/.test(text);
}

function isPattern(text: string): boolean {
  return isFileName(text.replace('*', ''));
}

function isFirstBytes(text: string): boolean {
  const digits = text.replaceAll(' ', '');
  return /^([0-9a-fA-F]{2}|\?\?){1,28}$/.test(digits) && digits.replaceAll('?', '') !== '';
}

function isCommand(text: string): boolean {
  const length = [...text].length;
  return length >= 1 && length <= 200 && !/\p{Cc}/u.test(text) && text.trim() === text;
}

function isAnnouncement(text: string): boolean {
  return isCommand(text) && text.split('{message}').length === 2;
}

function isImage(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9\-._/:@]{0,254}$/.test(text);
}

function isPackage(text: string): boolean {
  return /^[a-z0-9][a-z0-9+\-.]{1,63}$/.test(text);
}

function isScript(text: string): boolean {
  return text.trim() !== '' && Buffer.byteLength(text) <= LONGEST_SCRIPT && !/[\0\r]/.test(text);
}

function isInnerPath(text: string): boolean {
  const parts = text.replace(/\/$/, '').split('/');
  const bytes = Buffer.byteLength(text);
  return (
    bytes >= 1 && bytes <= 200 && parts.every((part) => !['', '.', '..'].includes(part)) && !/[\p{Cc}\\]/u.test(text)
  );
}
