/** That the pages say what is so. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readConfig } from '../lib/config.ts';
import { estimate, told, type Use } from '../lib/estimate.ts';
import { games } from '../lib/games.ts';
import { PRICES, REGION, SEEN } from '../lib/prices.ts';
import { BadFile } from '../lib/section.ts';
import { CATALOGUE, EXAMPLE } from './example.ts';
import { policyFindings } from './rules/policies.ts';
import { ROOT } from './rust.ts';
import { ofType, templates, type Json } from './stacks.ts';

const PAGE = readFileSync(join(ROOT, 'docs/aws.md'), 'utf8');

const USE: Use = {
  games: games(EXAMPLE, CATALOGUE),
  capacity: EXAMPLE.capacity,
  hours: Object.fromEntries(EXAMPLE.games.map((id) => [id, 40 / 3])),
  filesGb: 2,
  coldFilesGb: 3,
  archivesGb: 10,
  imagesGb: 3,
};

describe('the estimate', () => {
  it('is on the page', () => {
    expect(PAGE).toContain(`<!-- estimate -->\n\`\`\`text\n${told(estimate(USE))}\n\`\`\`\n<!-- /estimate -->`);
    expect(PAGE).toContain(`Prices of ${REGION} as of ${SEEN}`);
  });

  it('is the sum of what is asleep and what is played', () => {
    const { asleep, played, month } = estimate(USE);
    expect(month).toBeCloseTo(
      [...asleep, ...played].reduce((all, { usd }) => all + usd, 0),
      10,
    );
  });

  it('of a month in which nobody plays is bytes alone', () => {
    const { month, asleep } = estimate({ ...USE, hours: {}, filesGb: 0, coldFilesGb: 0, archivesGb: 0, imagesGb: 0 });
    expect(month).toBe(asleep.find(({ what }) => what.includes('sweep'))?.usd);
    expect(month).toBeLessThan(0.01);
  });

  it('of an hour is that of the task, its share on Spot, and its address', () => {
    const valheim = { id: 'valheim', architectures: ['amd64'] as const, cpu: 2048, memoryMib: 4096 };
    const hour = (capacity: Use['capacity'], arm: boolean): number | undefined =>
      estimate({ ...USE, capacity, games: [{ ...valheim, architectures: arm ? ['amd64', 'arm64'] : ['amd64'] }] })
        .hourly[0]?.usd;
    expect(hour('on-demand', false)).toBeCloseTo(2 * 0.04048 + 4 * 0.004445 + 0.005, 10);
    expect(hour('on-demand', true)).toBeCloseTo(2 * 0.03238 + 4 * 0.00356 + 0.005, 10);
    expect(hour('spot', false)).toBeCloseTo(0.3 * (2 * 0.04048 + 4 * 0.004445) + 0.005, 10);
    expect(hour('spot-first', false)).toBe(hour('spot', false));
    expect(PAGE).toContain(`an hour of Valheim is about $${hour('on-demand', false)?.toFixed(2)}`);
  });

  it('rests on prices that each have their page and their measure', () => {
    for (const { usd, per, page } of Object.values(PRICES)) {
      expect(usd).toBeGreaterThan(0);
      expect(per).toMatch(/\w/);
      expect(page).toMatch(/https:\/\/aws\.amazon\.com\//);
    }
  });
});

describe('docs/aws.md', () => {
  it('leads nowhere that is not there', () => {
    const links = [...PAGE.matchAll(/\]\(([^)#]+)\)/g)]
      .map(([, link = '']) => link)
      .filter((link) => !link.startsWith('http'));
    expect(links.length).toBeGreaterThan(3);
    expect(links.filter((link) => !existsSync(join(ROOT, 'docs', link)))).toEqual([]);
  });

  it('shows what is said of a configuration without quotes', () => {
    const example = readFileSync(join(ROOT, 'dormouse.example.toml'), 'utf8');
    const bare = example.replace(/^(account = )"(\d+)"/m, '$1$2').replace(/^(guilds = \[)"(\d+)"/m, '$1$2');
    const read = (): unknown => readConfig('dormouse.toml', bare, CATALOGUE);
    const shown = /```text\n(dormouse\.toml:[\s\S]*?)\n```/.exec(PAGE)?.[1];
    expect(read).toThrow(new BadFile(shown));
  });

  it('counts the alarms', () => {
    expect(ofType(templates().service, 'AWS::CloudWatch::Alarm')).toHaveLength(9);
    expect(PAGE).toContain('nine alarms');
  });

  it('names the outputs that there are', () => {
    const { stateful, service } = templates();
    const outputs = [...Object.keys(stateful.Outputs), ...Object.keys(service.Outputs)].filter(
      (name) => !name.startsWith('Exports'),
    );
    expect(outputs).toHaveLength(9);
    expect(outputs.filter((name) => !PAGE.includes(name))).toEqual([]);
  });

  it('gives the deployer little: to act through the roles of the bootstrap, and to look before', () => {
    const policy = JSON.parse(readFileSync(join(ROOT, 'docs/aws-deployer.json'), 'utf8')) as { Statement: Json };
    const Properties = { Roles: [{ Ref: 'Deployer' }], PolicyDocument: policy };
    const template = { Resources: { It: { Type: 'AWS::IAM::Policy', Properties } }, Outputs: {} };
    expect(policyFindings(template)).toEqual([
      'Deployer may become somebody else',
      'Deployer may become somebody else',
      'Deployer may become somebody else',
      'Deployer may become somebody else',
      'Deployer may do iam:GetRole',
      'Deployer may do iam:CreateServiceLinkedRole',
      'Deployer may do lambda:GetAccountSettings on everything',
    ]);
  });
});
