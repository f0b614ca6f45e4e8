/** Everything that can be taken down and made again: it only composes. What holds worlds is in the stateful stack. */

import { CfnOutput, Fn, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

import { GAME_START, type GameStart } from './agreed.ts';
import { Alarms } from './alarms/alarms.ts';
import type { Artefacts } from './artefacts.ts';
import { MonthlyBudget } from './budget/budget.ts';
import type { Game } from './catalog.ts';
import type { Config } from './config.ts';
import { both, ofWorker } from './environment.ts';
import { FrontDoor } from './front-door/front-door.ts';
import { logGroup } from './log-group.ts';
import { LookQueue } from './look-queue/look-queue.ts';
import { Network } from './network/network.ts';
import { Secrets } from './secrets/secrets.ts';
import type { StatefulStack } from './stateful-stack.ts';
import { Tasks } from './tasks/tasks.ts';
import { VISIBILITY, Worker } from './worker/worker.ts';

export interface ServiceStackProps extends StackProps {
  readonly config: Config;
  /** The games, with the sizes that they are to have. */
  readonly games: readonly Game[];
  readonly artefacts: Artefacts;
  readonly stateful: StatefulStack;
  /** How a game is started; as agreed with Rust if it is left out. */
  readonly gameStart?: GameStart;
}

export class ServiceStack extends Stack {
  constructor(scope: Construct, id: string, props: ServiceStackProps) {
    super(scope, id, props);
    const { config, games, artefacts, stateful } = props;
    const { prefix, logDays } = config;
    const reserved = (instances: number): number | undefined => (config.functions.reserved ? instances : undefined);

    const network = new Network(this, 'Network', { games, fileSystemId: stateful.files.id });
    const queue = new LookQueue(this, 'Looks', { visibility: VISIBILITY });
    const secrets = new Secrets(this, 'Secrets', { prefix });
    const tasks = new Tasks(this, 'Tasks', {
      prefix,
      games,
      artefacts,
      files: stateful.files,
      logGroup: logGroup(this, 'TaskLogs', logDays),
      gameStart: props.gameStart ?? GAME_START,
    });
    queue.listen({ clusterArn: tasks.cluster.attrArn, prefix });

    const shared = both({
      config,
      games,
      table: stateful.table.name,
      bucket: stateful.archives.name,
      queueUrl: queue.queue.queueUrl,
      parameters: secrets.path,
    });
    const frontDoor = new FrontDoor(this, 'FrontDoor', {
      code: artefacts.lambda('interactions'),
      environment: shared,
      reserved: reserved(config.functions.frontDoorAtOnce),
      logDays,
    });
    const worker = new Worker(this, 'Worker', {
      code: artefacts.lambda('worker'),
      environment: {
        ...shared,
        ...ofWorker({ config, network, cluster: tasks.cluster.ref, controlUrl: frontDoor.url }),
      },
      reserved: reserved(config.functions.workerAtOnce),
      logDays,
      queue,
      batchesAtOnce: config.functions.workerAtOnce - 1,
    });

    secrets.sayWhere(frontDoor.url);
    stateful.table.grantFrontDoor(frontDoor.role);
    stateful.archives.grantFrontDoor(frontDoor.role);
    stateful.table.grantWorker(worker.role);
    stateful.archives.grantWorker(worker.role);
    tasks.grantRun(worker.role);
    for (const { role } of [frontDoor, worker]) {
      queue.grantSend(role);
      secrets.grantRead(role);
    }

    const capS = Math.max(...games.map((game) => config.timers.cap ?? game.capS));
    new Alarms(this, 'Alarms', {
      prefix,
      queue,
      frontDoor: frontDoor.function,
      worker: worker.function,
      capS,
      email: config.alarmEmail,
    });
    if (config.budget !== undefined) new MonthlyBudget(this, 'Budget', { prefix, ...config.budget });
    this.tell({
      FrontDoorUrl: frontDoor.url,
      InteractionsEndpoint: frontDoor.interactions,
      QueueUrl: queue.queue.queueUrl,
      DeadLetterUrl: queue.dead.queueUrl,
      ClusterName: tasks.cluster.ref,
      ParameterPath: secrets.path,
    });
  }

  /** Two zones, whichever the account has: asking AWS for their names would make a synthesis need the account. */
  override get availabilityZones(): string[] {
    return [0, 1].map((n) => Fn.select(n, Fn.getAzs()));
  }

  /** What deploy and the command line go on with. */
  private tell(outputs: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(outputs)) new CfnOutput(this, name, { value });
  }
}
