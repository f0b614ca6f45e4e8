/** "Look at this world": the queue between the functions, into which ECS's words about tasks go too, and its dead letters. */

import { Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import { ERASE, MOST_RECEIVES } from '../agreed.ts';
import { grant } from '../grant.ts';

export interface LookQueueProps {
  /** How long a message that was given out stays out of sight: longer than the worker may run. */
  readonly visibility: Duration;
}

export interface TaskEventsProps {
  /** The cluster whose tasks are listened to. */
  readonly clusterArn: string;
  /** What `startedBy` of our tasks begins with. */
  readonly prefix: string;
}

export class LookQueue extends Construct {
  readonly queue: sqs.Queue;
  readonly dead: sqs.Queue;

  constructor(scope: Construct, id: string, props: LookQueueProps) {
    super(scope, id);
    const usual = { enforceSSL: true, encryption: sqs.QueueEncryption.SQS_MANAGED };
    this.dead = new sqs.Queue(this, 'Dead', { ...usual, retentionPeriod: Duration.days(14) });
    this.queue = new sqs.Queue(this, 'Queue', {
      ...usual,
      visibilityTimeout: props.visibility,
      deadLetterQueue: { queue: this.dead, maxReceiveCount: MOST_RECEIVES },
    });
    acknowledge(this.dead, {
      'AwsSolutions-SQS3': 'it is the dead-letter queue',
      'Serverless-SQSRedrivePolicy': 'it is the dead-letter queue',
    });
  }

  /** Has ECS say here what becomes of our tasks. */
  listen(props: TaskEventsProps): events.Rule {
    const rule = new events.Rule(this, 'TaskEvents', {
      description: 'what becomes of tasks: a look at the world each was started for',
      eventPattern: {
        source: ['aws.ecs'],
        detailType: ['ECS Task State Change'],
        detail: {
          clusterArn: [props.clusterArn],
          startedBy: [{ prefix: `${props.prefix}/` }, { prefix: `${props.prefix}-${ERASE}/` }],
        },
      },
    });
    rule.addTarget(new targets.SqsQueue(this.queue));
    acknowledge(rule, {
      'Serverless-EventBusDLQ': 'an event that does not arrive is made up for by the sweep, which asks ECS itself',
    });
    return rule;
  }

  /** Lets a function ask for a look. */
  grantSend(role: iam.Role): void {
    grant(role, { actions: ['sqs:SendMessage'], resources: [this.queue.queueArn] });
  }

  /** Lets Lambda fetch messages for a function. */
  grantConsume(role: iam.Role): void {
    grant(role, {
      actions: ['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage'],
      resources: [this.queue.queueArn],
    });
  }
}
