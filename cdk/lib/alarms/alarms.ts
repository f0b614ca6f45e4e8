/**
 * What somebody should be told: few alarms, each with a section of `docs/runbook.md` that says what it means and what to
 * do. Ten figures that alarms watch cost nothing, and there are ten.
 */

import { Duration, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as subscriptions from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import { FIGURES } from '../agreed.ts';
import type { LookQueue } from '../look-queue/look-queue.ts';

export interface AlarmsProps {
  /** What names begin with. */
  readonly prefix: string;
  readonly queue: LookQueue;
  readonly frontDoor: lambda.IFunction;
  readonly worker: lambda.IFunction;
  /** The longest that any game may run, in seconds. */
  readonly capS: number;
  /** Whom to tell. */
  readonly email: string | undefined;
}

interface Watch {
  /** Its section in the runbook. */
  readonly section: string;
  readonly what: string;
  readonly metric: cloudwatch.IMetric;
  readonly from: number;
  /** For how many periods in a row. */
  readonly periods: number;
  readonly comparison?: cloudwatch.ComparisonOperator;
  readonly missing?: cloudwatch.TreatMissingData;
}

const FIVE_MINUTES = Duration.minutes(5);
const HOUR_S = 3600;

export class Alarms extends Construct {
  private readonly topic: sns.Topic | undefined;

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    this.topic = props.email === undefined ? undefined : this.mail(props.email);
    for (const watch of [...messages(props.queue), ...functions(props), ...figures(), runningTooLong(props.capS)]) {
      this.add(props.prefix, watch);
    }
  }

  private add(prefix: string, watch: Watch): void {
    const alarm = new cloudwatch.Alarm(this, watch.section.replaceAll('-', ''), {
      alarmName: `${prefix}-${watch.section}`,
      alarmDescription: `${watch.what} What to do: docs/runbook.md#${watch.section}`,
      metric: watch.metric,
      threshold: watch.from,
      evaluationPeriods: watch.periods,
      comparisonOperator: watch.comparison ?? cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: watch.missing ?? cloudwatch.TreatMissingData.NOT_BREACHING,
    });
    if (this.topic !== undefined) alarm.addAlarmAction(new actions.SnsAction(this.topic));
  }

  private mail(email: string): sns.Topic {
    const topic = new sns.Topic(this, 'Topic', { enforceSSL: true });
    topic.addSubscription(new subscriptions.EmailSubscription(email));
    topic.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
    acknowledge(topic, {
      'AwsSolutions-SNS2':
        'alarms could publish to an encrypted topic only with a customer key, which costs a dollar a month; names of alarms are no secret',
      'Serverless-SNSRedrivePolicy': 'a mail that does not arrive has no other way to go; the console shows the alarm',
    });
    return topic;
  }
}

function messages({ queue, dead }: LookQueue): Watch[] {
  return [
    {
      section: 'dead-letters',
      what: 'Something that a world needed was given up on.',
      metric: dead.metricApproximateNumberOfMessagesVisible({ period: FIVE_MINUTES }),
      from: 1,
      periods: 1,
    },
    {
      section: 'messages-wait',
      what: 'Messages wait for a quarter of an hour: the worker does not come to them.',
      metric: queue.metricApproximateAgeOfOldestMessage({ period: FIVE_MINUTES }),
      from: 15 * 60,
      periods: 1,
    },
  ];
}

function functions({ frontDoor, worker }: AlarmsProps): Watch[] {
  const sum = { period: FIVE_MINUTES, statistic: 'Sum' };
  return [
    {
      section: 'front-door-errors',
      what: 'The front door breaks down.',
      metric: frontDoor.metricErrors(sum),
      from: 1,
      periods: 2,
    },
    {
      section: 'front-door-throttles',
      what: 'The front door turns callers away: somebody floods it, or too few instances may run.',
      metric: frontDoor.metricThrottles(sum),
      from: 5,
      periods: 1,
    },
    {
      section: 'worker-errors',
      what: 'The worker breaks down.',
      metric: worker.metricErrors(sum),
      from: 1,
      periods: 2,
    },
    {
      section: 'worker-throttles',
      what: 'The worker is not let run.',
      metric: worker.metricThrottles(sum),
      from: 5,
      periods: 1,
    },
  ];
}

/** The functions' own figures have no dimensions: a second Dormouse in the same region counts into the same ones. */
function figures(): Watch[] {
  const figure = (metricName: string, statistic: string): cloudwatch.Metric =>
    new cloudwatch.Metric({ namespace: FIGURES.namespace, metricName, statistic, period: FIVE_MINUTES });
  return [
    {
      section: 'failed-answers',
      what: 'The front door answers with failures of its own.',
      metric: figure(FIGURES.answerFailed, 'Sum'),
      from: 3,
      periods: 1,
    },
    {
      section: 'no-sweep',
      what: 'Nobody looked at the worlds for a quarter of an hour: deadlines and caps do not act.',
      metric: figure(FIGURES.sweepMs, 'SampleCount'),
      from: 1,
      periods: 3,
      comparison: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
      missing: cloudwatch.TreatMissingData.BREACHING,
    },
  ];
}

/**
 * ECS has no figure for a task's age. AWS counts the cores that an account's tasks use: when that was not zero for longer
 * than any world may run, something is up that should have ended, or worlds followed each other without a gap.
 */
function runningTooLong(capS: number): Watch {
  const cores = (provider: 'OnDemand' | 'Spot'): cloudwatch.Metric =>
    new cloudwatch.Metric({
      namespace: 'AWS/Usage',
      metricName: 'ResourceCount',
      dimensionsMap: { Class: `Standard/${provider}`, Resource: 'vCPU', Service: 'Fargate', Type: 'Resource' },
      statistic: 'Minimum',
      period: Duration.hours(1),
    });
  return {
    section: 'running-too-long',
    what: 'Tasks have been running for longer than any world may.',
    metric: new cloudwatch.MathExpression({
      expression: 'FILL(onDemand, 0) + FILL(spot, 0)',
      label: 'cores in use',
      period: Duration.hours(1),
      usingMetrics: { onDemand: cores('OnDemand'), spot: cores('Spot') },
    }),
    from: 0.1,
    periods: hoursFor(capS),
  };
}

/** Returns for how many hours in a row tasks may run: the cap, the save after it, and the hours that both began in. */
export function hoursFor(capS: number): number {
  // CloudWatch looks back at most seven days.
  return Math.min(Math.ceil(capS / HOUR_S) + 2, 7 * 24);
}
