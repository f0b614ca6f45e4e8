/**
 * What holds worlds: records, files, archives. Everything in it is retained, whatever happens to the stack; nothing
 * else may ever be put here. The logical ids are pinned by a test: with another one CloudFormation would make a new,
 * empty one, and leave the old one behind.
 */

import { Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

import { ArchiveBucket } from './archive-bucket/archive-bucket.ts';
import { WorldFiles } from './world-files/world-files.ts';
import { WorldsTable } from './worlds-table/worlds-table.ts';

export interface StatefulStackProps extends StackProps {
  /** The region, in plain letters. */
  readonly region: string;
  /** How long an archive that was removed or overwritten can be got back, in days. */
  readonly keepRemovedDays: number;
}

export class StatefulStack extends Stack {
  readonly table: WorldsTable;
  readonly archives: ArchiveBucket;
  readonly files: WorldFiles;

  constructor(scope: Construct, id: string, props: StatefulStackProps) {
    super(scope, id, { ...props, terminationProtection: true });
    this.table = new WorldsTable(this, 'Worlds');
    this.archives = new ArchiveBucket(this, 'Archives', {
      keepRemovedDays: props.keepRemovedDays,
      region: props.region,
    });
    this.files = new WorldFiles(this, 'Files');
  }
}
