/** What wakes worlds and puts them to sleep, construct by construct. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Stack } from 'aws-cdk-lib';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { describe, expect, it } from 'vitest';

import { hoursFor } from '../lib/alarms/alarms.ts';
import { hold } from '../lib/deployment.ts';
import { emulated } from './emulated.ts';
import { rendered, text } from './render.ts';
import { ROOT } from './rust.ts';
import { flat, list, ofType, templates, type Json, type Resource, type Variant } from './stacks.ts';
import { synthesised } from './synthesise.ts';

const { service } = templates();

type Container = { readonly [key: string]: Json } & { readonly Name: string };

interface Task {
  readonly properties: Resource['Properties'];
  readonly containers: readonly Container[];
}

/** Returns the task definition of a family. */
function task(family: string, variant: Variant = 'plain'): Task {
  const all = ofType(templates(variant).service, 'AWS::ECS::TaskDefinition').map(([, resource]) => resource.Properties);
  const properties = all.find((one) => one['Family'] === family);
  if (properties === undefined) throw new Error(`there is no ${family}`);
  return { properties, containers: list(properties['ContainerDefinitions']) as unknown as Container[] };
}

function only(type: string, variant: Variant = 'plain'): Resource['Properties'] {
  const [[, resource] = [], ...more] = ofType(templates(variant).service, type);
  if (resource === undefined || more.length > 0) throw new Error(`there is not one ${type}`);
  return resource.Properties;
}

function named(type: string, start: string, variant: Variant = 'plain'): Resource['Properties'] {
  const found = ofType(templates(variant).service, type).find(([id]) => id.startsWith(start));
  if (found === undefined) throw new Error(`there is no ${type} ${start}`);
  return found[1].Properties;
}

describe('the service stack', () => {
  it('is this', async () => {
    await expect(rendered(service)).toMatchFileSnapshot('snapshots/service.yaml');
  });

  it('is deployed to emulators by the end-to-end tests as it is here', async () => {
    await expect(emulated(templates())).toMatchFileSnapshot('snapshots/emulated.json');
  });

  it('is held to the rules of cdk-nag: what they find ends the synthesis', () => {
    const bad = (): unknown =>
      synthesised((app) => {
        const stack = new Stack(app, 'Stack');
        new sqs.Queue(stack, 'Queue');
        hold(app);
        return { stateful: stack, service: stack };
      });
    expect(bad).toThrow(/AwsSolutions-SQS3/);
  });

  it('is deployed after the stateful one', () => {
    expect(templates().before).toContain('dormouse-stateful');
  });

  it('makes no plan that depends on the account: the zones are whichever it has', () => {
    const zones = ofType(service, 'AWS::EC2::Subnet').map(([, { Properties }]) =>
      JSON.stringify(Properties['AvailabilityZone']),
    );
    expect(zones).toEqual([0, 1].map((n) => JSON.stringify({ 'Fn::Select': [n, { 'Fn::GetAZs': '' }] })));
  });
});

describe('the network', () => {
  it('has public subnets and free endpoints only', () => {
    const routes = ofType(service, 'AWS::EC2::Route').map(([, { Properties }]) => flat(Properties['GatewayId']));
    expect(routes.every((gateway) => gateway.includes('IGW'))).toBe(true);
    expect(
      ofType(service, 'AWS::EC2::VPCEndpoint').map(([, { Properties }]) => [
        Properties['VpcEndpointType'],
        flat(Properties['ServiceName']),
      ]),
    ).toEqual([
      ['Gateway', 'com.amazonaws.${AWS::Region}.s3'],
      ['Gateway', 'com.amazonaws.${AWS::Region}.dynamodb'],
    ]);
  });

  it('opens the ports of a game to players, and nothing else to anybody', () => {
    const open = ofType(service, 'AWS::EC2::SecurityGroup').map(([, { Properties }]) => [
      flat(Properties['GroupDescription']),
      list(Properties['SecurityGroupIngress']).map((rule) => {
        const { CidrIp, FromPort, ToPort, IpProtocol } = rule as { [key: string]: Json };
        return `${flat(IpProtocol)} ${flat(FromPort)}-${flat(ToPort)} from ${flat(CidrIp)}`;
      }),
    ]);
    expect(Object.fromEntries(open)).toEqual({
      'the file system of the worlds': [],
      'tasks: to the files, and to the front door, S3 and ECR': [],
      'players of luanti': ['udp 30000-30000 from 0.0.0.0/0'],
      'players of openttd': ['tcp 3979-3979 from 0.0.0.0/0'],
      'players of valheim': ['udp 2456-2456 from 0.0.0.0/0', 'udp 2457-2457 from 0.0.0.0/0'],
    });
  });

  it('lets tasks, and only tasks, to the files', () => {
    expect(only('AWS::EC2::SecurityGroupIngress')).toMatchObject({ FromPort: 2049, ToPort: 2049, IpProtocol: 'tcp' });
    expect(flat(only('AWS::EC2::SecurityGroupIngress')['SourceSecurityGroupId'])).toMatch(/NetworkTasksGroup.*GroupId/);
    expect(flat(only('AWS::EC2::SecurityGroupIngress')['GroupId'])).toMatch(/NetworkFilesGroup.*GroupId/);
    const mounts = ofType(service, 'AWS::EFS::MountTarget').map(([, { Properties }]) =>
      list(Properties['SecurityGroups']).map(flat),
    );
    expect(mounts).toEqual([[expect.stringMatching(/FilesGroup/)], [expect.stringMatching(/FilesGroup/)]]);
  });
});

describe('a task', () => {
  const families = ['dormouse-luanti', 'dormouse-openttd', 'dormouse-valheim', 'dormouse-erase'];

  it('is defined for each game that is configured, and for removing worlds', () => {
    expect(ofType(service, 'AWS::ECS::TaskDefinition').map(([, { Properties }]) => Properties['Family'])).toEqual(
      families,
    );
    const den = ofType(templates('full').service, 'AWS::ECS::TaskDefinition').map(
      ([, { Properties }]) => Properties['Family'],
    );
    expect(den).toEqual(['den-valheim', 'den-erase']);
  });

  it('runs on arm64 where the game does', () => {
    const architectures = families.map(
      (family) => (task(family).properties['RuntimePlatform'] as { CpuArchitecture: string }).CpuArchitecture,
    );
    expect(architectures).toEqual(['ARM64', 'ARM64', 'X86_64', 'ARM64']);
  });

  it('is as large as the catalogue says, or the configuration', () => {
    expect(task('dormouse-valheim').properties).toMatchObject({ Cpu: '2048', Memory: '4096' });
    expect(task('den-valheim', 'full').properties).toMatchObject({ Cpu: '2048', Memory: '8192' });
  });

  it.each(['by-watchdog', 'by-container'] as const)(
    'begins with the watchdog, whose end is its own (%s)',
    (variant) => {
      for (const family of families) {
        const { properties, containers } = task(family, variant);
        expect(properties).toMatchObject({
          PidMode: 'task',
          NetworkMode: 'awsvpc',
          RequiresCompatibilities: ['FARGATE'],
        });
        expect(containers[0]).toMatchObject({
          Name: 'watchdog',
          Essential: true,
          StopTimeout: 120,
          User: '0:0',
          EntryPoint: ['/watchdog'],
        });
        expect(containers.filter((container) => container['Essential'] === true)).toHaveLength(1);
        expect(
          containers.every((container) => container['StopTimeout'] === 120 && container['Environment'] === undefined),
        ).toBe(true);
      }
    },
  );

  it('is healthy once the watchdog owns the world, and may wait for that', () => {
    expect(task('dormouse-luanti').containers[0]?.['HealthCheck']).toEqual({
      Command: ['CMD', '/watchdog', 'healthy', '--task-dir', '/task'],
      Interval: 5,
      Timeout: 5,
      Retries: 10,
      StartPeriod: 300,
    });
  });

  it('starts a game of its own container only when it is healthy', () => {
    const { containers } = task('dormouse-luanti', 'by-container');
    expect(containers.map(({ Name }) => Name)).toEqual(['watchdog', 'game']);
    expect(containers[1]).toMatchObject({
      Essential: false,
      DependsOn: [{ Condition: 'HEALTHY', ContainerName: 'watchdog' }],
      User: '10001:10001',
      PortMappings: [{ ContainerPort: 30000, Protocol: 'udp' }],
    });
  });

  it('with two containers is this', async () => {
    await expect(text(task('dormouse-luanti', 'by-container').properties)).toMatchFileSnapshot(
      'snapshots/task-with-two-containers.yaml',
    );
  });

  it('keeps the capabilities that it needs, and a container of a game alone keeps none', () => {
    const dropped = ({ containers }: Task, n: number): Json[] => [
      ...((containers[n]?.['LinuxParameters'] as { Capabilities: { Drop: Json[] } } | undefined)?.Capabilities.Drop ??
        []),
    ];
    const usual = dropped(task('dormouse-luanti', 'by-container'), 1);
    const kept = (one: Task): Json[] => usual.filter((capability) => !dropped(one, 0).includes(capability));
    expect(usual).toHaveLength(14);
    expect(kept(task('dormouse-luanti', 'by-watchdog'))).toEqual([
      'CHOWN',
      'DAC_OVERRIDE',
      'FOWNER',
      'KILL',
      'NET_RAW',
      'SETGID',
      'SETUID',
    ]);
    expect(kept(task('dormouse-luanti', 'by-container'))).toEqual([
      'CHOWN',
      'DAC_OVERRIDE',
      'FOWNER',
      'KILL',
      'NET_RAW',
    ]);
    expect(kept(task('dormouse-erase'))).toEqual(['DAC_OVERRIDE', 'FOWNER']);
  });

  it('has a root that cannot be written to where no game is', () => {
    const locked = (one: Task): Json[] =>
      one.containers.map((container) => container['ReadonlyRootFilesystem'] ?? false);
    expect(locked(task('dormouse-luanti', 'by-watchdog'))).toEqual([false]);
    expect(locked(task('dormouse-luanti', 'by-container'))).toEqual([true, false]);
    expect(locked(task('dormouse-erase'))).toEqual([true]);
  });

  it('mounts the worlds over TLS by an access point of its own, and says who it is', () => {
    const points = families.map((family) => {
      const [, worlds] = list(task(family).properties['Volumes']) as { [key: string]: { [key: string]: Json } }[];
      expect(worlds?.['EFSVolumeConfiguration']).toMatchObject({
        TransitEncryption: 'ENABLED',
        AuthorizationConfig: { IAM: 'ENABLED' },
      });
      return flat(
        (worlds?.['EFSVolumeConfiguration']?.['AuthorizationConfig'] as { AccessPointId: Json }).AccessPointId,
      );
    });
    expect(new Set(points).size).toBe(families.length);
    const mounts = task('dormouse-luanti').containers[0]?.['MountPoints'];
    expect(list(mounts).map((mount) => (mount as { ContainerPath: string }).ContainerPath)).toEqual([
      '/worlds',
      '/task',
    ]);
  });

  it('finds every world in one directory, since removing one names no game', () => {
    const roots = ofType(service, 'AWS::EFS::AccessPoint').map(
      ([, { Properties }]) => (Properties['RootDirectory'] as { Path: string }).Path,
    );
    expect(new Set(roots)).toEqual(new Set(['/worlds']));
    expect(
      ofType(service, 'AWS::EFS::AccessPoint').every(([, { Properties }]) => Properties['PosixUser'] === undefined),
    ).toBe(true);
  });

  it('never stands still because its log is not taken', () => {
    const options = task('dormouse-luanti').containers[0]?.['LogConfiguration'] as {
      LogDriver: string;
      Options: { mode: string };
    };
    expect([options.LogDriver, options.Options.mode]).toEqual(['awslogs', 'non-blocking']);
  });
});

describe('the cluster', () => {
  it('has Fargate and Fargate Spot, and the name of the prefix', () => {
    expect(only('AWS::ECS::Cluster')).toMatchObject({
      ClusterName: 'dormouse',
      CapacityProviders: ['FARGATE', 'FARGATE_SPOT'],
    });
    expect(only('AWS::ECS::Cluster', 'full')).toMatchObject({ ClusterName: 'den' });
  });
});

describe('the functions', () => {
  it('are static programs on arm64 in no network, as many at once as are reserved', () => {
    for (const [id, { Properties }] of ofType(service, 'AWS::Lambda::Function')) {
      expect(Properties).toMatchObject({
        Runtime: 'provided.al2023',
        Architectures: ['arm64'],
        Handler: 'bootstrap',
        ReservedConcurrentExecutions: id.startsWith('FrontDoor') ? 10 : 5,
      });
      expect(Properties['VpcConfig']).toBeUndefined();
    }
    expect(
      ofType(templates('full').service, 'AWS::Lambda::Function').map(
        ([, { Properties }]) => Properties['ReservedConcurrentExecutions'],
      ),
    ).toEqual([undefined, undefined]);
  });

  it('keep their logs for as long as people say', () => {
    const days = (variant: Variant): Json[] =>
      ofType(templates(variant).service, 'AWS::Logs::LogGroup').map(
        ([, { Properties }]) => Properties['RetentionInDays'] ?? null,
      );
    expect(days('plain')).toEqual([30, 30, 30]);
    expect(days('full')).toEqual([14, 14, 14]);
  });

  it('have one door, which Discord finds', () => {
    expect(only('AWS::Lambda::Url')).toMatchObject({ AuthType: 'NONE' });
    expect(flat(service.Outputs['InteractionsEndpoint']?.Value)).toMatch(
      /^\$\{FrontDoorFunctionFunctionUrl\w+\.FunctionUrl\}discord\/interactions$/,
    );
  });

  it('leave one instance of the worker to the sweep, which comes every minute', () => {
    expect(only('AWS::Lambda::EventSourceMapping')).toMatchObject({
      BatchSize: 10,
      ScalingConfig: { MaximumConcurrency: 4 },
    });
    expect(named('AWS::Events::Rule', 'WorkerSweep')).toMatchObject({
      ScheduleExpression: 'rate(1 minute)',
      State: 'ENABLED',
    });
  });
});

describe('the queue', () => {
  it('gives a message out again and again, and then puts it aside for two weeks', () => {
    expect(named('AWS::SQS::Queue', 'LooksQueue')).toMatchObject({
      VisibilityTimeout: 330,
      RedrivePolicy: { maxReceiveCount: 20 },
    });
    expect(named('AWS::SQS::Queue', 'LooksDead')).toMatchObject({ MessageRetentionPeriod: 14 * 24 * 3600 });
  });

  it('is told what becomes of our tasks in our cluster', () => {
    const rule = named('AWS::Events::Rule', 'LooksTaskEvents');
    expect(rule['EventPattern']).toMatchObject({
      source: ['aws.ecs'],
      'detail-type': ['ECS Task State Change'],
      detail: { startedBy: [{ prefix: 'dormouse/' }, { prefix: 'dormouse-erase/' }] },
    });
    expect(flat((rule['EventPattern'] as { detail: { clusterArn: Json } }).detail.clusterArn)).toMatch(
      /TasksCluster\w+\.Arn/,
    );
    expect(list(rule['Targets']).map((target) => flat((target as { Arn: Json }).Arn))).toEqual([
      expect.stringMatching(/LooksQueue\w+\.Arn/),
    ]);
  });
});

describe('the alarms', () => {
  const runbook = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');
  const alarms = ofType(service, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => Properties);

  it('each link to their section of the runbook, and each section is an alarm', () => {
    const sections = [...runbook.matchAll(/^## ([a-z-]+)$/gm)].map(([, section]) => section).sort();
    const linked = alarms
      .map((alarm) => /docs\/runbook\.md#([a-z-]+)$/.exec(flat(alarm['AlarmDescription']))?.[1])
      .sort();
    expect(linked).toEqual(sections);
    expect(alarms.map((alarm) => alarm['AlarmName'])).toContain('dormouse-dead-letters');
  });

  it('tell somebody if the configuration says whom', () => {
    expect(alarms.every((alarm) => alarm['AlarmActions'] === undefined)).toBe(true);
    const told = ofType(templates('full').service, 'AWS::CloudWatch::Alarm');
    expect(told.every(([, { Properties }]) => list(Properties['AlarmActions']).length === 1)).toBe(true);
    expect(only('AWS::SNS::Subscription', 'full')).toMatchObject({ Protocol: 'email', Endpoint: 'you@example.org' });
  });

  it('know that something runs for longer than it may', () => {
    const running = (variant: Variant): Resource['Properties'] =>
      named('AWS::CloudWatch::Alarm', 'Alarmsrunningtoolong', variant);
    expect(running('plain')).toMatchObject({ EvaluationPeriods: 14, Threshold: 0.1 });
    expect(running('full')).toMatchObject({ EvaluationPeriods: 8 });
    expect([30, 3600, 12 * 3600, 7 * 24 * 3600].map(hoursFor)).toEqual([3, 3, 14, 168]);
  });

  it('are no alarm while nothing happens, but for the sweep', () => {
    const loud = alarms
      .filter((alarm) => alarm['TreatMissingData'] !== 'notBreaching')
      .map((alarm) => alarm['AlarmName']);
    expect(loud).toEqual(['dormouse-no-sweep']);
  });
});

describe('the budget', () => {
  it('is there if the configuration names one, and only tells', () => {
    expect(ofType(service, 'AWS::Budgets::Budget')).toEqual([]);
    expect(only('AWS::Budgets::Budget', 'full')).toMatchObject({
      Budget: { BudgetLimit: { Amount: 20, Unit: 'USD' }, BudgetType: 'COST', TimeUnit: 'MONTHLY' },
    });
  });
});
