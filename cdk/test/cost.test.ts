/** Nothing with a price of its own is in the templates; and the rule that says so finds each kind of thing that has one. */

import { describe, expect, it } from 'vitest';

import { costFindings, IDLE_PRICE } from './rules/cost.ts';
import { type Json, type Template, templates } from './stacks.ts';

const PLAIN = templates();
const FULL = templates('full');

function types(...all: Template[]): string[] {
  return [...new Set(all.flatMap((template) => Object.values(template.Resources).map(({ Type }) => Type)))].sort();
}

/** Returns what is found once a resource is there besides. */
function withResource(type: string, properties: { [key: string]: Json } = {}): string[] {
  return costFindings({
    ...PLAIN.service,
    Resources: { ...PLAIN.service.Resources, More: { Type: type, Properties: properties } },
  });
}

/** Returns what is found once a property of the resource `id`, which must be there, is something else. */
function withProperty(template: Template, type: string, property: string, value: Json): string[] {
  const [id, resource] = Object.entries(template.Resources).find(([, one]) => one.Type === type) ?? [];
  if (id === undefined || resource === undefined) throw new Error(`there is no ${type}`);
  const changed = { ...resource, Properties: { ...resource.Properties, [property]: value } };
  return costFindings({ ...template, Resources: { ...template.Resources, [id]: changed } });
}

describe('what is deployed', () => {
  it('costs nothing but bytes while everybody sleeps', () => {
    expect(costFindings(PLAIN.stateful)).toEqual([]);
    expect(costFindings(PLAIN.service)).toEqual([]);
    expect(costFindings(FULL.service)).toEqual([]);
  });

  it('is of types that are all on the list, and the list has no others', () => {
    expect(types(FULL.stateful, FULL.service)).toEqual(Object.keys(IDLE_PRICE).sort());
  });

  it('has a budget and a topic only if the configuration names them', () => {
    const asked = types(FULL.stateful, FULL.service).filter(
      (type) => !types(PLAIN.stateful, PLAIN.service).includes(type),
    );
    expect(asked).toEqual([
      'AWS::Budgets::Budget',
      'AWS::SNS::Subscription',
      'AWS::SNS::Topic',
      'AWS::SNS::TopicPolicy',
    ]);
  });
});

describe('the rule', () => {
  it.each([
    'AWS::EC2::NatGateway',
    'AWS::EC2::EIP',
    'AWS::EC2::Instance',
    'AWS::EC2::FlowLog',
    'AWS::EC2::TransitGateway',
    'AWS::ElasticLoadBalancingV2::LoadBalancer',
    'AWS::ApiGatewayV2::Api',
    'AWS::ECS::Service',
    'AWS::KMS::Key',
    'AWS::SecretsManager::Secret',
    'AWS::Route53::HostedZone',
    'AWS::Route53::HealthCheck',
    'AWS::CloudWatch::Dashboard',
    'AWS::CloudTrail::Trail',
    'AWS::Config::ConfigurationRecorder',
    'AWS::WAFv2::WebACL',
    'AWS::RDS::DBInstance',
    'AWS::ElastiCache::CacheCluster',
    'AWS::Backup::BackupPlan',
    'AWS::Lambda::Alias',
    'AWS::ApplicationAutoScaling::ScalableTarget',
    'AWS::Synthetics::Canary',
    'AWS::GlobalAccelerator::Accelerator',
    'AWS::ECR::Repository',
  ])('finds %s', (type) => {
    expect(withResource(type)).toEqual([`More: nobody has said what ${type} costs while everybody sleeps`]);
  });

  it.each<[string, 'stateful' | 'service', string, string, Json, string]>([
    [
      'provisioned capacity',
      'stateful',
      'AWS::DynamoDB::Table',
      'BillingMode',
      'PROVISIONED',
      'capacity is provisioned',
    ],
    ['replicas', 'stateful', 'AWS::DynamoDB::Table', 'Replicas', [], 'replicas'],
    [
      'a customer key',
      'stateful',
      'AWS::DynamoDB::Table',
      'SSESpecification',
      { KMSMasterKeyId: 'x' },
      'SSESpecification.KMSMasterKeyId',
    ],
    ['a customer key', 'stateful', 'AWS::EFS::FileSystem', 'KmsKeyId', 'x', 'KmsKeyId'],
    ['elastic throughput', 'stateful', 'AWS::EFS::FileSystem', 'ThroughputMode', 'elastic', 'throughput'],
    ['backups', 'stateful', 'AWS::EFS::FileSystem', 'BackupPolicy', { Status: 'ENABLED' }, 'backups'],
    ['versions for ever', 'stateful', 'AWS::S3::Bucket', 'LifecycleConfiguration', { Rules: [] }, 'old versions'],
    ['an inventory', 'stateful', 'AWS::S3::Bucket', 'InventoryConfigurations', [], 'InventoryConfigurations'],
    ['an interface endpoint', 'service', 'AWS::EC2::VPCEndpoint', 'VpcEndpointType', 'Interface', 'by the hour'],
    [
      'Container Insights',
      'service',
      'AWS::ECS::Cluster',
      'ClusterSettings',
      [{ Name: 'containerInsights', Value: 'enhanced' }],
      'by figure',
    ],
    ['more disk', 'service', 'AWS::ECS::TaskDefinition', 'EphemeralStorage', { SizeInGiB: 21 }, 'disk'],
    ['logs for ever', 'service', 'AWS::Logs::LogGroup', 'RetentionInDays', undefined as unknown as Json, 'for ever'],
    ['SnapStart', 'service', 'AWS::Lambda::Function', 'SnapStart', { ApplyOn: 'PublishedVersions' }, 'snapshots'],
    ['traces', 'service', 'AWS::Lambda::Function', 'TracingConfig', { Mode: 'Active' }, 'traces'],
    ['a customer key', 'service', 'AWS::Lambda::Function', 'KmsKeyArn', 'x', 'KmsKeyArn'],
    ['provisioned pollers', 'service', 'AWS::Lambda::EventSourceMapping', 'ProvisionedPollerConfig', {}, 'pollers'],
    ['a customer key', 'service', 'AWS::SQS::Queue', 'KmsMasterKeyId', 'x', 'KmsMasterKeyId'],
    ['high resolution', 'service', 'AWS::CloudWatch::Alarm', 'Period', 10, 'high resolution'],
  ])('finds %s', (_, stack, type, property, value, why) => {
    const found = withProperty(PLAIN[stack], type, property, value);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(why);
  });

  it('counts what is free in numbers', () => {
    expect(withResource('AWS::CloudWatch::Alarm')).toEqual(['alarms watch 11 figures, and 10 are free']);
    const budgets = Object.fromEntries(
      [1, 2, 3].map((n) => [`B${n}`, { Type: 'AWS::Budgets::Budget', Properties: {} }]),
    );
    expect(costFindings({ Resources: budgets, Outputs: {} })).toEqual(['more than 2 budgets are paid by the day']);
    expect(withResource('AWS::SNS::Subscription', { Protocol: 'sms' })).toEqual(['More: messages are paid for']);
  });
});
