/** A whole Dormouse: both stacks of one configuration. */

import { type App, Tags, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks, ServerlessChecks } from 'cdk-nag';

import type { GameStart } from './agreed.ts';
import type { Artefacts } from './artefacts.ts';
import type { Game } from './catalog.ts';
import type { Config } from './config.ts';
import { games } from './games.ts';
import { ServiceStack } from './service-stack.ts';
import { StatefulStack } from './stateful-stack.ts';

export interface Deployment {
  readonly stateful: StatefulStack;
  readonly service: ServiceStack;
}

export interface DeploymentProps {
  readonly config: Config;
  readonly catalogue: ReadonlyMap<string, Game>;
  readonly artefacts: Artefacts;
  /** How a game is started; as agreed with Rust if it is left out. */
  readonly gameStart?: GameStart;
}

/** Adds both stacks to `app`, and the rules that its templates are held to. */
export function deployment(app: App, { config, catalogue, artefacts, gameStart }: DeploymentProps): Deployment {
  const { prefix, account, region, keepRemovedDays } = config;
  const env = { account, region };
  const stateful = new StatefulStack(app, `${prefix}-stateful`, {
    env,
    region,
    keepRemovedDays,
    description: 'Dormouse: the worlds. Nothing in it is ever removed with it',
  });
  const service = new ServiceStack(app, `${prefix}-service`, {
    env,
    config,
    games: games(config, catalogue),
    artefacts,
    stateful,
    description: 'Dormouse: what wakes worlds and puts them to sleep. It can be taken down and made again',
    ...(gameStart === undefined ? {} : { gameStart }),
  });
  // It takes names out of the other by their exports, which the toolkit does not see.
  service.addStackDependency(stateful);
  Tags.of(app).add('dormouse', prefix);
  hold(app);
  return { stateful, service };
}

/** Holds the templates of `app` to cdk-nag's rules: a finding that nobody has answered ends the synthesis. */
export function hold(app: App): void {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app), new ServerlessChecks(app));
}
