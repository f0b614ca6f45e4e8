/** The worker: performs what worlds ask for, woken by messages and, every minute, by the sweep's schedule. */

import { Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import type { LookQueue } from '../look-queue/look-queue.ts';
import { RustFunction, type RustFunctionProps } from '../rust-function/rust-function.ts';

export interface WorkerProps extends Pick<RustFunctionProps, 'code' | 'environment' | 'reserved' | 'logDays'> {
  /** The queue that it takes messages from. */
  readonly queue: LookQueue;
  /** How many batches of messages it works on at once. */
  readonly batchesAtOnce: number;
}

/** Longer than a sweep or a batch may take by its own clock, so that it ends by itself. */
export const WORKER_TIMEOUT = Duration.seconds(300);

/** Longer than that, so that no message comes again while it is worked on. */
export const VISIBILITY = Duration.seconds(330);

/** As in `ARCHITECTURE.md`. A launch that fails to appear is given up after three of them. */
const SWEEP_EVERY = Duration.minutes(1);

/** As many as one batch of SQS has. */
const BATCH = 10;

export class Worker extends RustFunction {
  constructor(scope: Construct, id: string, props: WorkerProps) {
    super(scope, id, { ...props, description: 'performs what worlds ask for', timeout: WORKER_TIMEOUT });
    this.takeMessages(props);
    this.sweep();
  }

  private takeMessages(props: WorkerProps): void {
    props.queue.grantConsume(this.role);
    const mapping = new lambda.EventSourceMapping(this, 'Messages', {
      target: this.function,
      eventSourceArn: props.queue.queue.queueArn,
      batchSize: BATCH,
      // Fewer than the instances: one is left for the sweep, and SQS is never told to come again.
      maxConcurrency: props.batchesAtOnce,
      reportBatchItemFailures: true,
    });
    // Lambda tries the mapping out when it is made.
    mapping.node.addDependency(this.role);
    acknowledge(mapping, {
      'Serverless-LambdaEventSourceMappingDestination': 'the queue has dead letters of its own',
    });
  }

  private sweep(): void {
    const rule = new events.Rule(this, 'Sweep', {
      description: 'a look at every world that is not at rest, and at tasks that no world knows',
      schedule: events.Schedule.rate(SWEEP_EVERY),
    });
    // A sweep that did not come through is made up for by the next one.
    rule.addTarget(new targets.LambdaFunction(this.function, { retryAttempts: 0, maxEventAge: SWEEP_EVERY }));
    this.function.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: SWEEP_EVERY });
    acknowledge(rule, {
      'Serverless-EventBusDLQ': 'a sweep that is lost is made up for by the next one, a minute later',
    });
    acknowledge(this.function, {
      'Serverless-LambdaDLQ': 'the only asynchronous calls are sweeps, and the next one makes up for a lost one',
      'Serverless-LambdaAsyncFailureDestination':
        'the only asynchronous calls are sweeps, and the next one makes up for a lost one',
    });
  }
}
