/**
 * That the template and Rust agree: names, shapes, limits, and who makes which call. Each is read out of the Rust file
 * that has it.
 */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import * as agreed from '../lib/agreed.ts';
import { permissions } from './rules/policies.ts';
import { constant, ROOT, rust, seconds } from './rust.ts';
import { flat, list, ofType, templates, type Json, type Variant } from './stacks.ts';

const CONFIG = rust('control-lambda/src/config.rs');
const { stateful, service } = templates();

/** Returns what a function is told. */
function environment(role: string, variant: Variant = 'plain'): Readonly<Record<string, string>> {
  const [, resource] =
    ofType(templates(variant).service, 'AWS::Lambda::Function').find(([id]) => id.startsWith(role)) ?? [];
  const variables =
    (resource?.Properties['Environment'] as { Variables: Record<string, Json> } | undefined)?.Variables ?? {};
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, flat(value)]));
}

describe('the environment', () => {
  /** Returns the variables that a part of the file reads, and those of them that must be there. */
  function read(part: RegExp): { readonly all: string[]; readonly needed: string[] } {
    const text = [...CONFIG.matchAll(part)].map(([found]) => found).join('\n');
    const names = (pattern: RegExp): string[] =>
      [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))].sort();
    return { all: names(/"(DORMOUSE_\w+)"/g), needed: names(/(?:needed|list|parsed)\(get, "(DORMOUSE_\w+)"/g) };
  }

  const both = read(
    /impl Config \{[\s\S]*?\n\}|impl DiscordApp \{[\s\S]*?\n\}|fn (?:parameters|games|timers)\([\s\S]*?\n\}/g,
  );
  const tasks = read(
    /impl Tasks \{[\s\S]*?\n\}|fn (?:game_security_groups|capacity_providers|control_url|game_user)[\s\S]*?\n\}/g,
  );

  it('is read out of all of the file', () => {
    const everywhere = [...new Set([...CONFIG.matchAll(/"(DORMOUSE_\w+)"/g)].map(([, name]) => name))].sort();
    expect([...new Set([...both.all, ...tasks.all])].sort()).toEqual(everywhere);
    expect(both.needed).toContain('DORMOUSE_TABLE');
    expect(tasks.needed).toContain('DORMOUSE_CLUSTER');
  });

  it('has everything that the functions need', () => {
    // Read through a constant of its name.
    const needed = [...both.needed, ...tasks.needed, 'DORMOUSE_GAMES', 'DORMOUSE_GAME_SECURITY_GROUPS'];
    expect(both.needed.filter((name) => !(name in environment('FrontDoor')))).toEqual([]);
    expect(needed.filter((name) => !(name in environment('Worker')))).toEqual([]);
  });

  it('has nothing that they do not read', () => {
    const known = (name: string, ...names: string[][]): boolean => names.flat().includes(name);
    for (const variant of ['plain', 'full'] as const) {
      expect(Object.keys(environment('FrontDoor', variant)).filter((name) => !known(name, both.all))).toEqual([]);
      expect(Object.keys(environment('Worker', variant)).filter((name) => !known(name, both.all, tasks.all))).toEqual(
        [],
      );
    }
  });

  it('tells what can be played, in which sizes and by which timers', () => {
    expect(environment('FrontDoor', 'full')).toMatchObject({
      DORMOUSE_GAMES: 'valheim=2048/8192',
      DORMOUSE_NEVER_JOINED_S: '600',
      DORMOUSE_LAST_LEFT_S: '300',
      DORMOUSE_WARNING_S: '60',
      DORMOUSE_CAP_S: '21600',
    });
    expect(Object.keys(environment('FrontDoor')).filter((name) => name.endsWith('_S'))).toEqual([]);
  });

  it('names the games that have a task definition, with its size, and a security group each', () => {
    for (const variant of ['plain', 'full', 'by-container'] as const) {
      const { DORMOUSE_PREFIX: prefix, ...worker } = environment('Worker', variant);
      const deployed = ofType(templates(variant).service, 'AWS::ECS::TaskDefinition')
        .map(([, { Properties: task }]) => [flat(task['Family']), `${flat(task['Cpu'])}/${flat(task['Memory'])}`])
        .map(([family = '', size]) => [family.slice(`${prefix}-`.length), size])
        .filter(([game]) => game !== agreed.ERASE);
      const told = (name: string): string[][] => (worker[name] ?? '').split(',').map((one) => one.split('='));
      expect(told('DORMOUSE_GAMES').sort()).toEqual(deployed.sort());
      const named = told('DORMOUSE_GAME_SECURITY_GROUPS').map(([game]) => game);
      expect(named.sort()).toEqual(deployed.map(([game]) => game));
    }
  });

  it('is of the form that the functions read', () => {
    expect(environment('Worker')).toMatchInlineSnapshot(`
      {
        "DORMOUSE_BUCKET": "\${ArchivesBucket}",
        "DORMOUSE_CAPACITY_PROVIDERS": "FARGATE_SPOT,FARGATE",
        "DORMOUSE_CLUSTER": "\${TasksClusterD320D228}",
        "DORMOUSE_CONTROL_URL": "\${FrontDoorFunctionFunctionUrl722953A5.FunctionUrl}",
        "DORMOUSE_DISCORD_APPLICATION": "1100000000000000001",
        "DORMOUSE_DISCORD_GUILDS": "1200000000000000002",
        "DORMOUSE_DISCORD_PUBLIC_KEY": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "DORMOUSE_GAMES": "luanti=512/1024,openttd=256/512,valheim=2048/4096",
        "DORMOUSE_GAME_SECURITY_GROUPS": "luanti=\${NetworkLuantiGroup37C98DF2.GroupId},openttd=\${NetworkOpenttdGroup8F69F06D.GroupId},valheim=\${NetworkValheimGroupEFF2DA46.GroupId}",
        "DORMOUSE_PARAMETERS": "/dormouse",
        "DORMOUSE_PREFIX": "dormouse",
        "DORMOUSE_QUEUE_URL": "\${LooksQueue9798AD1E}",
        "DORMOUSE_SECURITY_GROUPS": "\${NetworkTasksGroupC5F7A352.GroupId}",
        "DORMOUSE_SUBNETS": "\${NetworkVpcPublicSubnet1Subnet36933139},\${NetworkVpcPublicSubnet2SubnetC427CCE0}",
        "DORMOUSE_TABLE": "\${WorldsTable}",
      }
    `);
    const full = environment('Worker', 'full');
    expect(full).toMatchObject({
      DORMOUSE_PREFIX: 'den',
      DORMOUSE_PARAMETERS: '/den',
      DORMOUSE_CAPACITY_PROVIDERS: 'FARGATE',
    });
    expect(
      Object.entries(environment('FrontDoor')).filter(([name, value]) => environment('Worker')[name] !== value),
    ).toEqual([]);
  });

  it('names no secret', () => {
    const values = [
      ...Object.values(environment('FrontDoor', 'full')),
      ...Object.values(environment('Worker', 'full')),
    ];
    expect(values.filter((value) => /token|secret/i.test(value))).toEqual([]);
  });
});

describe('what is agreed', () => {
  const WIRING = rust('control-lambda/src/wiring.rs');
  const ECS = rust('adapters/src/runtime/ecs.rs');

  it('is where a container has what', () => {
    expect(agreed.WORLDS_DIR).toBe(constant('control-lambda/src/wiring.rs', 'WORLDS_DIR'));
    expect(agreed.TASK_DIR).toBe(constant('control-lambda/src/wiring.rs', 'TASK_DIR'));
  });

  it('is how a game is started, and by which container', () => {
    const named =
      /game_container: (None|Some\("(\w+)"\.into\(\)\)|Some\(\w+\.into\(\)\))/.exec(WIRING)?.[1] ?? 'neither';
    const said = agreed.GAME_START === 'by-watchdog' ? 'None' : `Some("${agreed.GAME}".into())`;
    expect(named, 'change GAME_START in lib/agreed.ts to what wiring.rs says').toBe(said);
  });

  it('is what things are called in ECS', () => {
    expect(agreed.WATCHDOG).toBe(constant('adapters/src/runtime/ecs.rs', 'WATCHDOG'));
    expect(ECS).toContain(`self.family("${agreed.ERASE}")`);
    expect(ECS).toContain('format!("{}-{name}", self.config.prefix)');
    expect(ECS).toContain('format!("{}/{world}/{generation}", self.config.prefix)');
    expect(ECS).toContain(`format!("{}-${agreed.ERASE}/{world}", self.config.prefix)`);
  });

  it('is who a game runs as', () => {
    const user = /GAME_USER: \(u32, u32\) = \((\w+), (\w+)\)/.exec(CONFIG);
    expect(agreed.GAME_USER).toBe(`${user?.[1]?.replace('_', '')}:${user?.[2]?.replace('_', '')}`);
  });

  it('is the names of the secrets', () => {
    const names = ['LAUNCH_SECRET', 'API_TOKEN', 'DISCORD_TOKEN'].map((name) =>
      constant('control-lambda/src/config.rs', name),
    );
    expect(names).toEqual(agreed.SECRETS);
    expect(constant('control-lambda/src/config.rs', 'CONTROL_URL')).toBe(agreed.CONTROL_URL);
    expect(environment('Worker')['DORMOUSE_PARAMETERS']).toBe('/dormouse');
  });

  it('is the keys of the table and of its index', () => {
    const item = 'adapters/src/store/dynamodb/item.rs';
    expect(agreed.TABLE).toEqual({
      partition: constant(item, 'PK'),
      sort: constant(item, 'SK'),
      index: constant(item, 'UNSETTLED'),
      indexPartition: constant(item, 'UNSETTLED'),
      indexSort: 'id',
    });
    expect(rust('adapters/src/store/dynamodb.rs')).toContain(
      'partition key\n//! `unsettled` and sort key `id`, both strings, that projects the keys only',
    );
  });

  it('is what the keys of objects begin with', () => {
    const s3 = rust('adapters/src/archive/s3.rs');
    expect(s3).toContain(`format!("${agreed.ARCHIVES}{world}/`);
    expect(s3).toContain(`format!("${agreed.UPLOADS}{world}/`);
  });

  it('is how long the worker may take', () => {
    expect(agreed.BATCH_LIMIT_S).toBe(seconds('control-lambda/src/work.rs', 'BATCH_LIMIT'));
    expect(agreed.SWEEP_LIMIT_S).toBe(seconds('control-lambda/src/work.rs', 'SWEEP_LIMIT'));
    const [, worker] = ofType(service, 'AWS::Lambda::Function').find(([id]) => id.startsWith('Worker')) ?? [];
    const [, queue] = ofType(service, 'AWS::SQS::Queue').find(([id]) => id.startsWith('LooksQueue')) ?? [];
    const timeout = Number(worker?.Properties['Timeout']);
    expect(timeout).toBeGreaterThan(Math.max(agreed.BATCH_LIMIT_S, agreed.SWEEP_LIMIT_S));
    expect(Number(queue?.Properties['VisibilityTimeout'])).toBeGreaterThan(timeout);
  });

  it('is how often a message may fail', () => {
    expect(rust('adapters/src/queue/sqlite.rs')).toContain(`const MOST_ATTEMPTS: u32 = ${agreed.MOST_RECEIVES};`);
  });

  it('is what the figures are called', () => {
    const telemetry = rust('control-lambda/src/telemetry.rs');
    expect(constant('control-lambda/src/telemetry.rs', 'NAMESPACE')).toBe(agreed.FIGURES.namespace);
    expect(telemetry).toContain(`("${agreed.FIGURES.answerFailed}", "Count"`);
    expect(telemetry).toContain(`("${agreed.FIGURES.sweepMs}", "Milliseconds"`);
    expect(telemetry).toContain('"Dimensions": [[]]');
  });

  it('is where Discord sends interactions', () => {
    expect(rust('adapters/src/front_door/interactions.rs')).toContain(`.route("/${agreed.INTERACTIONS_PATH}"`);
  });

  it('is what the schedule and ECS say', () => {
    expect(rust('control-lambda/src/work.rs')).toContain('Some("aws.events")');
    expect(rust('adapters/src/queue/message.rs')).toContain('event.source == "aws.ecs"');
  });

  it('is how the watchdog is asked whether it is well', () => {
    const cli = rust('watchdog/src/cli.rs');
    expect(cli).toMatch(/Healthy \{[\s\S]*?#\[arg\(long, env = "DORMOUSE_TASK_DIR"[\s\S]*?task_dir: PathBuf/);
    expect(cli).toMatch(/^ {4}Run,$/m);
    expect(ECS).toContain('["erase".into(), "--root".into(), root, "--world".into(), world.to_string()]');
  });
});

describe('the permissions', () => {
  /** What a call of the SDK asks to be allowed, where that is not its own name. */
  const ASKS: Readonly<Record<string, readonly string[]>> = {
    'dynamodb:TransactWriteItems': ['dynamodb:PutItem', 'dynamodb:DeleteItem'],
    's3:HeadObject': ['s3:GetObject'],
    's3:CreateMultipartUpload': ['s3:PutObject'],
    's3:CompleteMultipartUpload': ['s3:PutObject'],
    's3:ListParts': ['s3:ListMultipartUploadParts'],
  };

  /** The calls that people's programs make of themselves, with their own credentials (`dormouse queue`). */
  const BY_PEOPLE = ['sqs:ChangeMessageVisibility'];

  /** Returns the calls that the code makes: each has its name in what it says when it fails. */
  function calls(): string[] {
    const files = [
      'adapters/src/store',
      'adapters/src/queue',
      'adapters/src/runtime',
      'adapters/src/archive',
      'control-lambda/src',
    ].flatMap((dir) =>
      readdirSync(join(ROOT, dir), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.rs') && !file.includes('test'))
        .map((file) => join(dir, file)),
    );
    const named = files.flatMap((file) =>
      [...rust(file).matchAll(/unavailable\("(\w+:[A-Za-z]+)"/g)].map(([, call = '']) => call),
    );
    return [...new Set(named)].sort();
  }

  const asked = calls().flatMap((call) => ASKS[call] ?? [call]);
  const allowed = new Set(
    permissions(service)
      .filter(({ role }) => /^(FrontDoor|Worker)/.test(role))
      .map(({ action }) => action),
  );

  it('are enough for every call that the functions make', () => {
    expect(asked.length).toBeGreaterThan(15);
    expect(asked.filter((action) => !allowed.has(action) && !BY_PEOPLE.includes(action))).toEqual([]);
  });

  it('are those that the heads of the adapters tell of', () => {
    const told = [
      'adapters/src/store/dynamodb.rs',
      'adapters/src/queue/sqs.rs',
      'adapters/src/runtime/ecs.rs',
      'adapters/src/archive/s3.rs',
    ]
      .map((file) =>
        rust(file)
          .split('\n')
          .filter((line) => line.startsWith('//!'))
          .join('\n'),
      )
      .join('\n');
    const ours = [...allowed].filter((action) => !/^(logs|ssm):/.test(action) && action !== 's3:DeleteObject');
    expect(ours.filter((action) => !told.includes(action) && !told.includes(`\`${action.split(':')[1]}\``))).toEqual(
      [],
    );
  });

  it('let the front door neither touch ECS, nor delete, nor scan', () => {
    const frontDoor = permissions(service)
      .filter(({ role }) => role.startsWith('FrontDoor'))
      .map(({ action }) => action);
    expect(frontDoor.filter((action) => /^(ecs|iam):|Delete|Scan/.test(action))).toEqual([]);
    expect([...allowed].filter((action) => action.includes('Scan'))).toEqual([]);
  });
});

describe('the shapes', () => {
  it('of the table are those that the adapter asks for', () => {
    const [[, table] = []] = ofType(stateful, 'AWS::DynamoDB::Table');
    expect(table?.Properties['KeySchema']).toEqual([
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ]);
    expect(table?.Properties['GlobalSecondaryIndexes']).toEqual([
      {
        IndexName: 'unsettled',
        KeySchema: [
          { AttributeName: 'unsettled', KeyType: 'HASH' },
          { AttributeName: 'id', KeyType: 'RANGE' },
        ],
        Projection: { ProjectionType: 'KEYS_ONLY' },
      },
    ]);
    expect(
      list(table?.Properties['AttributeDefinitions'])
        .map(flat)
        .every((definition) => definition.includes('"AttributeType":"S"')),
    ).toBe(true);
  });

  it('of the queue are those that the worker counts on', () => {
    const [mapping] = ofType(service, 'AWS::Lambda::EventSourceMapping').map(([, resource]) => resource.Properties);
    expect(rust('control-lambda/src/work.rs')).toContain(`const AT_ONCE: usize = ${String(mapping?.['BatchSize'])};`);
    expect(mapping?.['FunctionResponseTypes']).toEqual(['ReportBatchItemFailures']);
  });
});
