/** The table of world records: `docs/decisions/0012-dynamodb-layout.md` says what is in it and who may do what. */

import { CfnOutput, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

import { TABLE } from '../agreed.ts';
import { grant } from '../grant.ts';

export class WorldsTable extends Construct {
  /** Its name, as another stack is told it. */
  readonly name: string;
  private readonly arn: string;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    const text = (name: string): dynamodb.Attribute => ({ name, type: dynamodb.AttributeType.STRING });
    const table = new dynamodb.Table(this, 'Table', {
      partitionKey: text(TABLE.partition),
      sortKey: text(TABLE.sort),
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: true,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    table.addGlobalSecondaryIndex({
      indexName: TABLE.index,
      partitionKey: text(TABLE.indexPartition),
      sortKey: text(TABLE.indexSort),
      projectionType: dynamodb.ProjectionType.KEYS_ONLY,
    });
    const stack = Stack.of(this);
    this.name = stack.exportValue(table.tableName);
    this.arn = stack.exportValue(table.tableArn);
    new CfnOutput(stack, 'TableName', { value: table.tableName, description: 'the records of the worlds' });
  }

  /** Lets the front door find, list and save worlds. It neither deletes one nor sweeps. */
  grantFrontDoor(role: iam.Role): void {
    grant(role, {
      actions: ['dynamodb:BatchGetItem', 'dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:Query'],
      resources: [this.arn],
    });
  }

  /** Lets the worker load and save worlds, see a deletion through, and ask which are not settled. */
  grantWorker(role: iam.Role): void {
    grant(role, { actions: ['dynamodb:DeleteItem', 'dynamodb:GetItem', 'dynamodb:PutItem'], resources: [this.arn] });
    grant(role, { actions: ['dynamodb:Query'], resources: [`${this.arn}/index/${TABLE.index}`] });
  }
}
