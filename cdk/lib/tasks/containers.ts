/** The containers of a task. The watchdog is the first and the one whose end is the task's; a game is neither. */

import { Duration } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';

import { GAME, GAME_USER, TASK_DIR, WATCHDOG, WORLDS_DIR, type GameStart } from '../agreed.ts';
import type { Game } from '../catalog.ts';

/** What containers are made of. */
export interface Parts {
  readonly task: ecs.FargateTaskDefinition;
  readonly logging: ecs.LogDriver;
  /** Returns the image of this name for the task's architecture. */
  readonly image: (name: string) => ecs.ContainerImage;
}

/** The program in every image that has a watchdog. */
const PROGRAM = '/watchdog';

/** The longest that Fargate gives a container to end: the save of a world needs what it can get. */
const STOP_TIMEOUT = Duration.seconds(120);

/** What containers have by default on Fargate, as in Docker. */
const USUAL = [
  ecs.Capability.AUDIT_WRITE,
  ecs.Capability.CHOWN,
  ecs.Capability.DAC_OVERRIDE,
  ecs.Capability.FOWNER,
  ecs.Capability.FSETID,
  ecs.Capability.KILL,
  ecs.Capability.MKNOD,
  ecs.Capability.NET_BIND_SERVICE,
  ecs.Capability.NET_RAW,
  ecs.Capability.SETFCAP,
  ecs.Capability.SETGID,
  ecs.Capability.SETPCAP,
  ecs.Capability.SETUID,
  ecs.Capability.SYS_CHROOT,
];

/** Removing what belongs to another user. */
const ERASE_NEEDS = [ecs.Capability.DAC_OVERRIDE, ecs.Capability.FOWNER];

/** Besides: giving files to the game's user, ending the game, seeing packets. */
const WATCH_NEEDS = [...ERASE_NEEDS, ecs.Capability.CHOWN, ecs.Capability.KILL, ecs.Capability.NET_RAW];

/** Besides: becoming the game's user, which leaves the game with no capability. */
const START_NEEDS = [...WATCH_NEEDS, ecs.Capability.SETGID, ecs.Capability.SETUID];

/** Adds the containers of a game. */
export function addGame(parts: Parts, game: Game, start: GameStart): void {
  switch (start) {
    case 'by-watchdog':
      addWatchdog(parts, { image: game.id, needs: START_NEEDS, writes: 'its whole image', game });
      return;
    case 'by-container': {
      const watchdog = addWatchdog(parts, {
        image: 'watchdog',
        needs: WATCH_NEEDS,
        writes: 'volumes',
        game: undefined,
      });
      addGameContainer(parts, game, watchdog);
    }
  }
}

/** Adds the container that removes a world. What it is to do comes with RunTask; without that it says what it can do. */
export function addErasure(parts: Parts): void {
  addWatchdog(parts, { image: 'watchdog', needs: ERASE_NEEDS, writes: 'volumes', game: 'none' });
}

interface Watchdog {
  readonly image: string;
  /** The capabilities that it keeps. */
  readonly needs: readonly ecs.Capability[];
  /**
   * Where it can write. A game writes beside itself where its makers thought so; it is not root and the image's files are,
   * so that it can write to little of it. What is not a game gets by with volumes.
   */
  readonly writes: 'volumes' | 'its whole image';
  /** The game that it starts in its own container, if it does; `none` where there is no game at all. */
  readonly game: Game | 'none' | undefined;
}

function addWatchdog({ task, logging, image }: Parts, props: Watchdog): ecs.ContainerDefinition {
  const container = task.addContainer(WATCHDOG, {
    image: image(props.image),
    essential: true,
    entryPoint: [PROGRAM],
    command: props.game === 'none' ? ['--help'] : ['run'],
    user: '0:0',
    readonlyRootFilesystem: props.writes === 'volumes',
    stopTimeout: STOP_TIMEOUT,
    linuxParameters: keeping(task, WATCHDOG, props.needs),
    logging,
    ...(props.game === 'none' ? {} : { healthCheck: HEALTH }),
    ...(typeof props.game === 'object' ? { portMappings: ports(props.game) } : {}),
  });
  container.addMountPoints(
    { sourceVolume: 'worlds', containerPath: WORLDS_DIR, readOnly: false },
    { sourceVolume: 'task', containerPath: TASK_DIR, readOnly: false },
  );
  return container;
}

/**
 * Healthy is: it owns the world, and where the game has a container of its own, the game may start. It may wait 150 s for the
 * last task to let go of the world, and hours for an archive to be unpacked, which no failed check may end. ECS stops no task of
 * RunTask for its health; a game's own container waits for it, for as long as it takes.
 */
const HEALTH: ecs.HealthCheck = {
  command: ['CMD', PROGRAM, 'healthy', '--task-dir', TASK_DIR],
  interval: Duration.seconds(5),
  timeout: Duration.seconds(5),
  retries: 10,
  startPeriod: Duration.seconds(300),
};

/**
 * ECS stops containers in the reverse of the order in which it starts them: when it stops the task itself, the game's is told
 * first, by its image's STOPSIGNAL (`docs/decisions/0019-the-game-may-be-a-neighbour.md`).
 */
function addGameContainer({ task, logging, image }: Parts, game: Game, watchdog: ecs.ContainerDefinition): void {
  const container = task.addContainer(GAME, {
    image: image(game.id),
    essential: false,
    user: GAME_USER,
    readonlyRootFilesystem: false,
    stopTimeout: STOP_TIMEOUT,
    linuxParameters: keeping(task, GAME, []),
    logging,
    portMappings: ports(game),
  });
  container.addMountPoints({ sourceVolume: 'worlds', containerPath: WORLDS_DIR, readOnly: false });
  container.addContainerDependencies({ container: watchdog, condition: ecs.ContainerDependencyCondition.HEALTHY });
}

function keeping(task: ecs.FargateTaskDefinition, name: string, needs: readonly ecs.Capability[]): ecs.LinuxParameters {
  const parameters = new ecs.LinuxParameters(task, `${name}Linux`);
  parameters.dropCapabilities(...USUAL.filter((capability) => !needs.includes(capability)));
  return parameters;
}

function ports(game: Game): ecs.PortMapping[] {
  return game.ports.map((port) => ({
    containerPort: port.number,
    protocol: port.protocol === 'udp' ? ecs.Protocol.UDP : ecs.Protocol.TCP,
  }));
}
