/**
 * What games run on: a cluster, and a task definition for each game and one that removes worlds.
 *
 * ```text
 * <prefix>-<game>   container `watchdog`, and the game's own where it has one
 * <prefix>-erase    container `watchdog`, told by RunTask which world to remove
 * ```
 *
 * What is particular to a launch comes by the overrides of RunTask (`adapters/src/runtime/ecs.rs`), so no environment is
 * set here. The watchdog begins as root: it takes the world's directory and gives its files to the game's user. The game
 * never is root.
 */

import { Stack } from 'aws-cdk-lib';
import * as assets from 'aws-cdk-lib/aws-ecr-assets';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as efs from 'aws-cdk-lib/aws-efs';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import { ERASE, type GameStart } from '../agreed.ts';
import type { Artefacts } from '../artefacts.ts';
import type { Architecture, Game } from '../catalog.ts';
import { grant } from '../grant.ts';
import { title } from '../network/network.ts';
import { addErasure, addGame, type Parts } from './containers.ts';
import { taskRole, executionRole } from './roles.ts';

export interface TasksProps {
  /** What names begin with; also the cluster's name. */
  readonly prefix: string;
  /** The games, with the sizes that they are to have. */
  readonly games: readonly Game[];
  /** Where the contexts of the images are. */
  readonly artefacts: Artefacts;
  /** The file system of the worlds. */
  readonly files: { readonly id: string; readonly arn: string };
  /** Where the containers' output goes. */
  readonly logGroup: logs.ILogGroup;
  /** How a game is started. */
  readonly gameStart: GameStart;
}

/** What removing files needs. */
const ERASURE: Pick<Game, 'id' | 'architectures' | 'cpu' | 'memoryMib'> = {
  id: ERASE,
  architectures: ['arm64'],
  cpu: 256,
  memoryMib: 512,
};

/** What the root directory of every access point is: the sleeping worlds lie side by side in it. */
const ROOT = '/worlds';

export class Tasks extends Construct {
  readonly cluster: ecs.CfnCluster;
  private readonly props: TasksProps;
  private readonly families: string[] = [];
  private readonly accessPoints: string[] = [];
  private readonly images = new Map<string, assets.DockerImageAsset>();
  private readonly roles: { readonly task: iam.Role; readonly execution: iam.Role };

  constructor(scope: Construct, id: string, props: TasksProps) {
    super(scope, id);
    this.props = props;
    this.cluster = new ecs.CfnCluster(this, 'Cluster', {
      clusterName: props.prefix,
      capacityProviders: ['FARGATE', 'FARGATE_SPOT'],
      clusterSettings: [{ name: 'containerInsights', value: 'disabled' }],
    });
    acknowledge(this.cluster, {
      'AwsSolutions-ECS4': 'Container Insights charges for each figure of each task; the watchdogs report what matters',
    });
    this.roles = { task: taskRole(this), execution: executionRole(this, props.logGroup) };
    for (const game of props.games) {
      const parts = this.define(game);
      addGame(parts, game, props.gameStart);
    }
    addErasure(this.define(ERASURE));
    this.allowMounting();
    this.allowPulling();
  }

  /** Lets the worker run, look at and stop tasks of this cluster, and nothing else in ECS. */
  grantRun(role: iam.Role): void {
    const tasks = [this.arn('task', `${this.props.prefix}/*`)];
    const here = { ArnEquals: { 'ecs:cluster': this.cluster.attrArn } };
    const named = 'ECS names tasks while they start';
    grant(role, {
      actions: ['ecs:RunTask'],
      // RunTask names the family, and which of the two ARNs ECS then asks for is written nowhere.
      resources: this.families.flatMap((family) => [
        this.arn('task-definition', family),
        this.arn('task-definition', `${family}:*`),
      ]),
      conditions: here,
      wildcards: 'each deployment makes a new revision, and the newest is run',
    });
    grant(role, {
      actions: ['ecs:DescribeTasks', 'ecs:StopTask'],
      resources: tasks,
      conditions: here,
      wildcards: named,
    });
    const atStart = { StringEquals: { 'ecs:CreateAction': 'RunTask' } };
    grant(role, { actions: ['ecs:TagResource'], resources: tasks, conditions: atStart, wildcards: named });
    grant(role, {
      actions: ['ecs:ListTasks'],
      resources: ['*'],
      conditions: here,
      wildcards: 'ecs:ListTasks takes no resource on Fargate; the condition names the cluster',
    });
    grant(role, {
      actions: ['iam:PassRole'],
      resources: [this.roles.task.roleArn, this.roles.execution.roleArn],
      conditions: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
    });
  }

  /** Makes the task definition `<prefix>-<id>`, still without containers. */
  private define(game: Pick<Game, 'id' | 'architectures' | 'cpu' | 'memoryMib'>): Parts {
    const family = `${this.props.prefix}-${game.id}`;
    this.families.push(family);
    const architecture: Architecture = game.architectures.includes('arm64') ? 'arm64' : 'amd64';
    const task = new ecs.FargateTaskDefinition(this, title(game.id), {
      family,
      cpu: game.cpu,
      memoryLimitMiB: game.memoryMib,
      pidMode: ecs.PidMode.TASK,
      runtimePlatform: {
        cpuArchitecture: architecture === 'arm64' ? ecs.CpuArchitecture.ARM64 : ecs.CpuArchitecture.X86_64,
        operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
      },
      // What they may do is said here, once, and not added to by what is mounted and pulled.
      taskRole: this.roles.task.withoutPolicyUpdates(),
      executionRole: this.roles.execution.withoutPolicyUpdates(),
      volumes: [{ name: 'task' }, { name: 'worlds', efsVolumeConfiguration: this.mount(game.id) }],
    });
    const logging = ecs.LogDrivers.awsLogs({
      logGroup: this.props.logGroup,
      streamPrefix: game.id,
      // A game must not stand still because its log is not taken.
      mode: ecs.AwsLogDriverMode.NON_BLOCKING,
    });
    return { task, logging, image: (name) => ecs.ContainerImage.fromDockerImageAsset(this.image(name, architecture)) };
  }

  private mount(id: string): ecs.EfsVolumeConfiguration {
    const point = new efs.CfnAccessPoint(this, `${title(id)}Mount`, {
      fileSystemId: this.props.files.id,
      // No user is forced on it: to the game's user, what belongs to the watchdog stays out of reach.
      rootDirectory: { path: ROOT, creationInfo: { ownerUid: '0', ownerGid: '0', permissions: '755' } },
    });
    this.accessPoints.push(point.attrArn);
    return {
      fileSystemId: this.props.files.id,
      transitEncryption: 'ENABLED',
      authorizationConfig: { accessPointId: point.ref, iam: 'ENABLED' },
    };
  }

  private image(name: string, architecture: Architecture): assets.DockerImageAsset {
    const id = `${title(name)}Image${title(architecture)}`;
    const made = this.images.get(id);
    if (made !== undefined) return made;
    const image = new assets.DockerImageAsset(this, id, {
      directory: this.props.artefacts.image(name),
      platform: architecture === 'arm64' ? assets.Platform.LINUX_ARM64 : assets.Platform.LINUX_AMD64,
    });
    this.images.set(id, image);
    return image;
  }

  /** All that a task may do: mount the worlds by an access point of ours, as the user that it says it is. */
  private allowMounting(): void {
    grant(this.roles.task, {
      actions: ['elasticfilesystem:ClientMount', 'elasticfilesystem:ClientRootAccess', 'elasticfilesystem:ClientWrite'],
      resources: [this.props.files.arn],
      conditions: { ArnEquals: { 'elasticfilesystem:AccessPointArn': this.accessPoints } },
    });
  }

  private allowPulling(): void {
    const repositories = [...this.images.values()].map((image) => image.repository.repositoryArn);
    grant(this.roles.execution, {
      actions: ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      // All images are in the one repository of the bootstrap.
      resources: repositories.slice(0, 1),
    });
  }

  private arn(resource: string, resourceName: string): string {
    return Stack.of(this).formatArn({ service: 'ecs', resource, resourceName });
  }
}
