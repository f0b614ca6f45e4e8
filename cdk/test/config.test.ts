import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readCatalogue } from '../lib/catalog.ts';
import { readConfig } from '../lib/config.ts';
import { ROOT } from './rust.ts';

/** Three of the games, however many there are. */
const THREE = ['luanti', 'openttd', 'valheim'];
const CATALOGUE = new Map([...readCatalogue(join(ROOT, 'games/catalog'))].filter(([id]) => THREE.includes(id)));
const EXAMPLE = readFileSync(join(ROOT, 'dormouse.example.toml'), 'utf8');

const LEAST = `games = ["luanti"]
[aws]
account = "111122223333"
region = "eu-central-1"
[discord]
application = "1100000000000000001"
public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
guilds = ["1200000000000000002"]
`;

function read(text: string): ReturnType<typeof readConfig> {
  return readConfig('some/where/dormouse.toml', text, CATALOGUE);
}

function refusal(from: string, to: string): string {
  expect(LEAST).toContain(from);
  return refused(LEAST.replace(from, () => to));
}

function refused(text: string): string {
  try {
    read(text);
  } catch (error: unknown) {
    if (error instanceof Error) return error.message;
  }
  return 'accepted';
}

describe('the configuration', () => {
  it('is the example when it is copied', () => {
    expect(read(EXAMPLE).games).toEqual(['luanti', 'openttd', 'valheim']);
  });

  it('is the example with everything that is commented out there, too', () => {
    const all = EXAMPLE.replaceAll(/^# (\[|\w+ = )/gm, '$1');
    expect(read(all)).toMatchObject({
      sizes: new Map([['valheim', { cpu: 2048, memoryMib: 8192 }]]),
      timers: { never_joined: 900, last_left: 600, warning: 120, afk: 2700, cap: 43_200 },
      alarmEmail: 'you@example.org',
      budget: { usd: 20, email: 'you@example.org' },
    });
  });

  it('says in the example what holds without it', () => {
    const usual = read(LEAST);
    const { games, ...example } = read(EXAMPLE);
    expect({ ...usual, games }).toEqual({ ...example, games });
  });

  it('is refused with line, key and what is allowed', () => {
    expect(refusal('"111122223333"', '111122223333')).toMatchInlineSnapshot(
      `"dormouse.toml:3: \`aws.account\` is 111122223333: use the twelve digits of the account, in quotes"`,
    );
    expect(refusal('eu-central-1', 'cn-north-1')).toMatchInlineSnapshot(
      `"dormouse.toml:4: \`aws.region\` is "cn-north-1": use a region of the commercial partition, such as "eu-central-1""`,
    );
    expect(refusal('"1200000000000000002"', '1200000000000000002')).toMatchInlineSnapshot(
      `"dormouse.toml:8: \`discord.guilds\` has 1200000000000000002: use 17 to 20 digits, in quotes"`,
    );
    expect(
      refusal('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', '0'.repeat(64)),
    ).toMatchInlineSnapshot(
      `"dormouse.toml:7: \`discord.public_key\` is "0000000000000000000000000000000000000000…": use the application's public key, 64 hexadecimal digits"`,
    );
    expect(refusal('["luanti"]', '["luanti", "quake"]')).toMatchInlineSnapshot(
      `"dormouse.toml:1: \`games\` has "quake": use luanti, openttd or valheim"`,
    );
    expect(refusal('games =', 'prefix = "Dormouse"\ngames =')).toMatchInlineSnapshot(
      `"dormouse.toml:1: \`prefix\` is "Dormouse": use 1 to 20 lower-case letters, digits and inner hyphens, a letter first, but not aws or ssm"`,
    );
  });

  it('is refused where what it adds cannot be', () => {
    expect(refused(`${LEAST}[tasks]\ncapacity = "cheap"\n`)).toMatchInlineSnapshot(
      `"dormouse.toml:10: \`tasks.capacity\` is "cheap": use spot-first, spot or on-demand"`,
    );
    expect(refused(`${LEAST}[sizes.luanti]\ncpu = 512\nmemory_mib = 512\n`)).toMatchInlineSnapshot(
      `"dormouse.toml:11: \`sizes.luanti.memory_mib\` is 512: with \`cpu\` 512 use 1024, 2048, 3072 or 4096"`,
    );
    expect(refused(`${LEAST}[sizes.valheim]\ncpu = 2048\nmemory_mib = 4096\n`)).toMatchInlineSnapshot(
      `"dormouse.toml:9: unknown key \`sizes.valheim\`: use luanti"`,
    );
    expect(refused(`${LEAST}[timers]\ncap = "8d"\nlast_left = "1s"\n`)).toMatchInlineSnapshot(`
      "dormouse.toml:10: \`timers.cap\` is "8d": use a duration written like "90s", "15m" or "1h30m"
      dormouse.toml:11: \`timers.last_left\` is 1s: use 5s to 24h"
    `);
    expect(refused(`${LEAST}[logs]\ndays = 31\n[budget]\nusd = 0\nemail = "you"\n`)).toMatchInlineSnapshot(`
      "dormouse.toml:10: \`logs.days\` is 31: use one of the numbers 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365
      dormouse.toml:12: \`budget.usd\` is 0: use a number from 1 to 10000
      dormouse.toml:13: \`budget.email\` is "you": use an e-mail address"
    `);
  });

  it('is refused where a key is unknown, missing, or written twice', () => {
    expect(refused(`${LEAST}[secrets]\ntoken = "x"\n`)).toMatchInlineSnapshot(
      `"dormouse.toml:9: unknown key \`secrets\`: use prefix, games, aws, discord, tasks, sizes, timers, functions, archives, logs, alarms or budget"`,
    );
    expect(refusal('account = "111122223333"\n', '')).toMatchInlineSnapshot(
      `"dormouse.toml:2: \`aws.account\` is missing: use the twelve digits of the account, in quotes"`,
    );
    expect(refused(`${LEAST}[aws]\n`)).toMatch(/^dormouse\.toml:9: not TOML: /);
    expect(refused('')).toMatchInlineSnapshot(`
      "dormouse.toml:1: \`games\` is missing: use a list of 1 to 50 items, each luanti, openttd or valheim
      dormouse.toml:1: \`aws\` is missing: use a section [aws]
      dormouse.toml:1: \`discord\` is missing: use a section [discord]"
    `);
  });

  it('is never taken with a torn or mangled file unless it is sound, and the line at fault is one that it has', () => {
    const torn = [...LEAST].map((_, end) => LEAST.slice(0, end));
    const mangled = [...LEAST].flatMap((_, at) =>
      ['[', '"', 'é', '\n', '='].map((s) => `${LEAST.slice(0, at)}${s}${LEAST.slice(at)}`),
    );
    for (const text of [...torn, ...mangled]) {
      const said = refused(text);
      if (said === 'accepted') continue;
      const lines = said.split('\n').map((line) => Number(/^dormouse\.toml:(\d+): /.exec(line)?.[1]));
      const most = text.split('\n').length;
      expect(
        lines.every((line) => line >= 1 && line <= most),
        `${said} in ${text}`,
      ).toBe(true);
    }
  });
});
