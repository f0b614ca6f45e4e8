/** That the pages say what is so. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readConfig } from '../lib/config.ts';
import { BadFile } from '../lib/section.ts';
import { CATALOGUE } from './example.ts';
import { policyFindings } from './rules/policies.ts';
import { ROOT, rust } from './rust.ts';
import { ofType, templates, type Json } from './stacks.ts';

const PAGE = readFileSync(join(ROOT, 'docs/aws.md'), 'utf8');

const POLICY = JSON.parse(readFileSync(join(ROOT, 'docs/aws-deployer.json'), 'utf8')) as { Statement: Json };

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

  it('lets the deployer make every call of `dormouse doctor --aws`', () => {
    const files = readdirSync(join(ROOT, 'cli/src/doctor/aws')).map((file) => rust(`cli/src/doctor/aws/${file}`));
    const calls = files.flatMap((text) => [...text.matchAll(/"((?:ssm|dynamodb|sqs|ecs|s3):\w+)"/g)]);
    // HeadBucket is allowed by the permission to list.
    const actions = [...new Set(calls.map(([, call = '']) => call.replace('s3:HeadBucket', 's3:ListBucket')))];
    expect(actions.length).toBeGreaterThan(8);
    const allowed = JSON.stringify(POLICY.Statement);
    expect(actions.filter((action) => !allowed.includes(`"${action}"`))).toEqual([]);
  });

  it('gives the deployer little: to act through the roles of the bootstrap, and to look before', () => {
    const Properties = { Roles: [{ Ref: 'Deployer' }], PolicyDocument: POLICY };
    const template = { Resources: { It: { Type: 'AWS::IAM::Policy', Properties } }, Outputs: {} };
    expect(policyFindings(template)).toEqual([
      'Deployer may become somebody else',
      'Deployer may become somebody else',
      'Deployer may become somebody else',
      'Deployer may become somebody else',
      'Deployer may do iam:GetRole',
      'Deployer may do iam:CreateServiceLinkedRole',
      'Deployer may do lambda:GetAccountSettings on everything',
      // CloudFormation makes up how the names of the two stacks' things end.
      ...['dynamodb:DescribeContinuousBackups', 'dynamodb:DescribeTable'].map(
        (action) =>
          `Deployer may do ${action} on arn:aws:dynamodb:REGION:ACCOUNT:table/PREFIX-stateful-*, which begins other names too`,
      ),
      'Deployer may do sqs:GetQueueAttributes on arn:aws:sqs:REGION:ACCOUNT:PREFIX-service-*, which begins other names too',
      'Deployer may do s3:ListBucket on arn:aws:s3:::PREFIX-stateful-*, which begins other names too',
      'Deployer may do ecs:DescribeTaskDefinition on everything',
    ]);
  });
});
