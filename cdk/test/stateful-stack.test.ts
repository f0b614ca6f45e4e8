/** What holds worlds stays what it is, and stays. */

import { describe, expect, it } from 'vitest';

import { rendered } from './render.ts';
import { flat, ofType, templates } from './stacks.ts';

const { stateful, service } = templates();

/** Resources that hold what nobody can make again. */
const HOLDING = ['AWS::DynamoDB::Table', 'AWS::EFS::FileSystem', 'AWS::S3::Bucket'];

describe('the stateful stack', () => {
  it('is this', async () => {
    await expect(rendered(stateful)).toMatchFileSnapshot('snapshots/stateful.yaml');
  });

  it('has logical ids that never change: with another one CloudFormation would make a new, empty one', () => {
    const ids = Object.entries(stateful.Resources).map(([id, { Type }]) => `${Type} ${id}`);
    expect(ids.sort()).toEqual([
      'AWS::DynamoDB::Table WorldsTable8FDE316D',
      'AWS::EFS::FileSystem FilesFileSystem8770F8A4',
      'AWS::S3::Bucket ArchivesBucketD5C337A9',
      'AWS::S3::BucketPolicy ArchivesBucketPolicy0464E445',
    ]);
  });

  it('keeps everything, whatever happens to the stack', () => {
    const holding = Object.values(stateful.Resources).filter(({ Type }) => HOLDING.includes(Type));
    expect(holding.map((one) => [one.DeletionPolicy, one.UpdateReplacePolicy])).toEqual(
      HOLDING.map(() => ['Retain', 'Retain']),
    );
  });

  it('has everything that holds something', () => {
    expect(Object.values(service.Resources).filter(({ Type }) => HOLDING.includes(Type))).toEqual([]);
    expect(Object.values(service.Resources).filter((one) => one.DeletionPolicy === 'Retain')).toEqual([]);
  });

  it('keeps records to any second of the last weeks, and from being deleted', () => {
    expect(ofType(stateful, 'AWS::DynamoDB::Table')[0]?.[1].Properties).toMatchObject({
      BillingMode: 'PAY_PER_REQUEST',
      DeletionProtectionEnabled: true,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    });
  });

  it('keeps files encrypted, and those of sleeping worlds cheaply', () => {
    expect(ofType(stateful, 'AWS::EFS::FileSystem')[0]?.[1].Properties).toMatchObject({
      Encrypted: true,
      LifecyclePolicies: [{ TransitionToIA: 'AFTER_30_DAYS' }, { TransitionToPrimaryStorageClass: 'AFTER_1_ACCESS' }],
    });
  });

  it('lets what only passes through the bucket pass, and keeps what was removed for as long as people say', () => {
    const rules = (variant: 'plain' | 'full'): unknown =>
      ofType(templates(variant).stateful, 'AWS::S3::Bucket')[0]?.[1].Properties['LifecycleConfiguration'];
    const passing = [
      expect.objectContaining({ Prefix: 'uploads/', ExpirationInDays: 2 }),
      expect.objectContaining({ Prefix: 'imports/', ExpirationInDays: 2 }),
      expect.objectContaining({ AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 } }),
    ];
    expect(rules('plain')).toEqual({
      Rules: [
        ...passing,
        expect.objectContaining({ NoncurrentVersionExpiration: { NoncurrentDays: 30 } }),
        expect.anything(),
      ],
    });
    expect(rules('full')).toEqual({
      Rules: [
        ...passing,
        expect.objectContaining({ NoncurrentVersionExpiration: { NoncurrentDays: 7 } }),
        expect.anything(),
      ],
    });
  });

  it('never lets an archive expire by itself', () => {
    const bucket = ofType(stateful, 'AWS::S3::Bucket')[0]?.[1].Properties['LifecycleConfiguration'] as {
      Rules: { Prefix?: string; ExpirationInDays?: number }[];
    };
    const expiring = bucket.Rules.filter((rule) => rule.ExpirationInDays !== undefined).map((rule) => rule.Prefix);
    expect(expiring).toEqual(['uploads/', 'imports/']);
  });

  it('takes files from pages of function URLs in its region alone', () => {
    expect(ofType(stateful, 'AWS::S3::Bucket')[0]?.[1].Properties['CorsConfiguration']).toEqual({
      CorsRules: [
        {
          AllowedHeaders: ['content-type'],
          AllowedMethods: ['PUT'],
          AllowedOrigins: ['https://*.lambda-url.eu-central-1.on.aws'],
          MaxAge: 3600,
        },
      ],
    });
  });

  it('tells where everything is, by its own names', () => {
    const told = ['TableName', 'BucketName', 'FileSystemId'].map((name) => flat(stateful.Outputs[name]?.Value));
    expect(told).toEqual(['${WorldsTable8FDE316D}', '${ArchivesBucketD5C337A9}', '${FilesFileSystem8770F8A4}']);
  });
});
