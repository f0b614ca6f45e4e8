/**
 * What nobody pays for while everybody sleeps. Every type of resource that may be in a template stands here with what one
 * costs that is not used; a type that does not stand here is a finding, so that a new one is thought about. Settings that
 * give a free type a price by the hour or month are findings too.
 */

import { isList, list, type Json, type Resource, type Template } from '../stacks.ts';

/** The types that may be there, and what each costs while nobody plays. Prices are in `cli/prices.toml`. */
export const IDLE_PRICE: Readonly<Record<string, string>> = {
  'AWS::Budgets::Budget': 'nothing, for the first two of an account that only tell',
  'AWS::CloudWatch::Alarm': 'nothing, for the first ten figures that alarms of an account watch',
  'AWS::DynamoDB::Table': 'its bytes, after the first 25 GB',
  'AWS::EC2::InternetGateway': 'nothing',
  'AWS::EC2::Route': 'nothing',
  'AWS::EC2::RouteTable': 'nothing',
  'AWS::EC2::SecurityGroup': 'nothing',
  'AWS::EC2::SecurityGroupEgress': 'nothing',
  'AWS::EC2::SecurityGroupIngress': 'nothing',
  'AWS::EC2::Subnet': 'nothing',
  'AWS::EC2::SubnetRouteTableAssociation': 'nothing',
  'AWS::EC2::VPC': 'nothing',
  'AWS::EC2::VPCEndpoint': 'nothing, for gateways',
  'AWS::EC2::VPCGatewayAttachment': 'nothing',
  'AWS::ECS::Cluster': 'nothing',
  'AWS::ECS::TaskDefinition': 'nothing; its image in ECR costs its bytes',
  'AWS::EFS::AccessPoint': 'nothing',
  'AWS::EFS::FileSystem': 'its bytes',
  'AWS::EFS::MountTarget': 'nothing',
  'AWS::Events::Rule': 'nothing, for schedules and events of AWS',
  'AWS::IAM::Policy': 'nothing',
  'AWS::IAM::Role': 'nothing',
  'AWS::Lambda::EventInvokeConfig': 'nothing',
  'AWS::Lambda::EventSourceMapping':
    'nothing; its polling of an empty queue stays within the first million requests a month',
  'AWS::Lambda::Function': 'nothing',
  'AWS::Lambda::Permission': 'nothing',
  'AWS::Lambda::Url': 'nothing',
  'AWS::Logs::LogGroup': 'its bytes, for as long as they are kept',
  'AWS::S3::Bucket': 'its bytes',
  'AWS::S3::BucketPolicy': 'nothing',
  'AWS::SNS::Subscription': 'nothing, for e-mail',
  'AWS::SNS::Topic': 'nothing',
  'AWS::SNS::TopicPolicy': 'nothing',
  'AWS::SSM::Parameter': 'nothing: a standard one',
  'AWS::SQS::Queue': 'nothing, for the first million requests a month',
  'AWS::SQS::QueuePolicy': 'nothing',
};

/** How many figures alarms may watch before each costs ten cents a month. */
const FREE_FIGURES = 10;

/** How many budgets are free. */
const FREE_BUDGETS = 2;

/** How much disk a task has that costs nothing more, in GiB. */
const FREE_DISK_GIB = 20;

/** What is found: `<logical id>: <why>`. */
export type Finding = string;

/** Returns what of a template has a price of its own. */
export function costFindings(template: Template): Finding[] {
  const resources = Object.entries(template.Resources);
  return [
    ...resources.flatMap(([id, resource]) => ofResource(resource).map((why) => `${id}: ${why}`)),
    ...counted(resources),
  ];
}

function ofResource(resource: Resource): string[] {
  if (!(resource.Type in IDLE_PRICE)) return [`nobody has said what ${resource.Type} costs while everybody sleeps`];
  const found = keys(resource.Properties).map((path) => `${path} is a key of KMS's, a dollar a month`);
  return [...found, ...(SETTINGS[resource.Type]?.(resource.Properties) ?? [])];
}

/** Returns the paths of settings that name a key. */
function keys(value: Json, path = ''): string[] {
  if (value === null || typeof value !== 'object') return [];
  if (isList(value)) return value.flatMap((one, n) => keys(one, `${path}[${n}]`));
  return Object.entries(value).flatMap(([name, inner]) => {
    const here = path === '' ? name : `${path}.${name}`;
    return /^Kms|^KMS|KeyArn$|KeyId$/.test(name) ? [here] : keys(inner, here);
  });
}

type Properties = Resource['Properties'];

const SETTINGS: Readonly<Record<string, (properties: Properties) => string[]>> = {
  'AWS::DynamoDB::Table': (table) => [
    ...unless(table['BillingMode'] === 'PAY_PER_REQUEST', 'capacity is provisioned by the hour'),
    ...unless(table['ProvisionedThroughput'] === undefined, 'capacity is provisioned by the hour'),
    ...unless(table['Replicas'] === undefined, 'replicas are paid for each'),
  ],
  'AWS::EC2::VPCEndpoint': (endpoint) =>
    unless((endpoint['VpcEndpointType'] ?? 'Gateway') === 'Gateway', 'an interface endpoint is paid by the hour'),
  'AWS::ECS::Cluster': (cluster) =>
    list(cluster['ClusterSettings']).flatMap((setting) =>
      unless(field(setting, 'Value') === 'disabled', 'Container Insights are paid by figure'),
    ),
  'AWS::ECS::TaskDefinition': (task) => {
    const disk = field(task['EphemeralStorage'], 'SizeInGiB');
    return unless(
      disk === undefined || Number(disk) <= FREE_DISK_GIB,
      'more disk than comes with a task is paid by the hour',
    );
  },
  'AWS::EFS::FileSystem': (files) => [
    ...unless(files['ThroughputMode'] === 'bursting', 'throughput is paid for'),
    ...unless(files['ReplicationConfiguration'] === undefined, 'a replica is paid for'),
    ...unless(field(files['BackupPolicy'], 'Status') !== 'ENABLED', 'backups cost as much as the files'),
  ],
  'AWS::Lambda::EventSourceMapping': (mapping) =>
    unless(mapping['ProvisionedPollerConfig'] === undefined, 'pollers are provisioned by the hour'),
  'AWS::Lambda::Function': (lambda) => [
    ...unless(lambda['SnapStart'] === undefined, 'snapshots are paid for'),
    ...unless(lambda['TracingConfig'] === undefined, 'traces are paid for'),
    ...unless(lambda['EphemeralStorage'] === undefined, 'more disk than comes with a function is paid for'),
  ],
  'AWS::Logs::LogGroup': (group) => unless(group['RetentionInDays'] !== undefined, 'logs are kept for ever'),
  'AWS::S3::Bucket': (bucket) => [
    ...[
      'InventoryConfigurations',
      'AnalyticsConfigurations',
      'MetricsConfigurations',
      'IntelligentTieringConfigurations',
      'ReplicationConfiguration',
    ].flatMap((name) => unless(bucket[name] === undefined, `${name} are paid for`)),
    ...unless(bucket['VersioningConfiguration'] === undefined || forgets(bucket), 'old versions are kept for ever'),
  ],
  'AWS::SNS::Subscription': (subscription) => unless(subscription['Protocol'] === 'email', 'messages are paid for'),
  'AWS::CloudWatch::Alarm': (alarm) =>
    unless(Number(alarm['Period'] ?? 60) >= 60, 'figures of high resolution are paid for'),
};

function forgets(bucket: Properties): boolean {
  return list(field(bucket['LifecycleConfiguration'], 'Rules')).some(
    (rule) => field(rule, 'NoncurrentVersionExpiration') !== undefined,
  );
}

function counted(resources: readonly [string, Resource][]): Finding[] {
  const some = (type: string): Resource[] =>
    resources.map(([, resource]) => resource).filter((resource) => resource.Type === type);
  const figures = some('AWS::CloudWatch::Alarm').reduce((all, alarm) => all + figuresOf(alarm.Properties), 0);
  return [
    ...unless(figures <= FREE_FIGURES, `alarms watch ${figures} figures, and ${FREE_FIGURES} are free`),
    ...unless(
      some('AWS::Budgets::Budget').length <= FREE_BUDGETS,
      `more than ${FREE_BUDGETS} budgets are paid by the day`,
    ),
  ];
}

/** Returns how many figures an alarm watches: an expression counts for those that go into it. */
function figuresOf(alarm: Properties): number {
  if (alarm['Metrics'] === undefined) return 1;
  return list(alarm['Metrics']).filter((metric) => field(metric, 'MetricStat') !== undefined).length;
}

function unless(holds: boolean, why: string): string[] {
  return holds ? [] : [why];
}

function field(value: Json | undefined, name: string): Json | undefined {
  return value !== null && typeof value === 'object' && !isList(value)
    ? (value as { readonly [key: string]: Json })[name]
    : undefined;
}
