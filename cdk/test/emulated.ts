/**
 * What of the templates can be deployed to an emulator, for `e2e/src/cloud` to deploy it there: as JSON, references
 * as `${Thing}` and `${Thing.Attribute}`.
 */

import { flat, isList, type Json, type Resource, type Templates } from './stacks.ts';

/** What there is an emulator for. */
export const EMULATED = [
  'AWS::DynamoDB::Table',
  'AWS::ECS::Cluster',
  'AWS::ECS::TaskDefinition',
  'AWS::Events::Rule',
  'AWS::Lambda::EventSourceMapping',
  'AWS::Lambda::Function',
  'AWS::S3::Bucket',
  'AWS::SQS::Queue',
  'AWS::SSM::Parameter',
];

/** Returns the resources that there is an emulator for, by their logical ids, as text. */
export function emulated({ stateful, service }: Templates): string {
  const all = Object.entries({ ...stateful.Resources, ...service.Resources });
  const chosen = all
    .filter(([, { Type }]) => EMULATED.includes(Type))
    .map(([id, { Type, Properties }]: [string, Resource]) => [withoutHash(id), { Type, Properties: plain(Properties) }])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  return `${JSON.stringify(Object.fromEntries(chosen), null, 1)}\n`;
}

/** Returns a value without CloudFormation's functions. */
function plain(value: Json): Json {
  if (isList(value)) return value.map(plain);
  if (typeof value === 'string')
    return value.replace(/(?<=:)[0-9a-f]{64}$/, 'content').replace(/^[0-9a-f]{64}(?=\.zip$)/, 'content');
  if (value === null || typeof value !== 'object') return value;
  const names = Object.keys(value);
  if (names.length === 1 && /^(Ref$|Fn::)/.test(names[0] ?? '')) return plain(withoutHashes(flat(value)));
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'Tags')
      .map(([name, inner]) => [name, plain(inner)]),
  );
}

/** Returns what people called a resource, of which the toolkit's hash is no part. */
function withoutHash(id: string): string {
  return id.replace(/[0-9A-F]{8}$/, '');
}

/** Returns a text with references, each without the toolkit's hash. */
export function withoutHashes(text: string): string {
  return text.replace(/(?<=\$\{\w+)[0-9A-F]{8}(?=[.}])/g, '');
}
