/** Tells somebody when a month costs more than they meant. Nothing is stopped by it; the first two of an account are free. */

import * as budgets from 'aws-cdk-lib/aws-budgets';
import { Construct } from 'constructs';

import type { Budget } from '../config.ts';

export interface MonthlyBudgetProps extends Budget {
  /** What names begin with. */
  readonly prefix: string;
}

/** When to tell, in percent: of what was spent, and of what the month will cost if it goes on so. */
const MARKS = [
  { notificationType: 'ACTUAL', threshold: 50 },
  { notificationType: 'ACTUAL', threshold: 100 },
  { notificationType: 'FORECASTED', threshold: 100 },
];

export class MonthlyBudget extends Construct {
  constructor(scope: Construct, id: string, props: MonthlyBudgetProps) {
    super(scope, id);
    const subscribers = [{ subscriptionType: 'EMAIL', address: props.email }];
    new budgets.CfnBudget(this, 'Budget', {
      budget: {
        budgetName: `${props.prefix}-month`,
        budgetType: 'COST',
        timeUnit: 'MONTHLY',
        budgetLimit: { amount: props.usd, unit: 'USD' },
      },
      notificationsWithSubscribers: MARKS.map((mark) => ({
        notification: { ...mark, comparisonOperator: 'GREATER_THAN', thresholdType: 'PERCENTAGE' },
        subscribers,
      })),
    });
  }
}
