/**
 * The front door: a function URL that is open to all, since it is Discord, watchdogs and programs that call it, and each
 * proves itself by a signature or a token in the function. It may not touch ECS.
 */

import { Duration } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import { INTERACTIONS_PATH } from '../agreed.ts';
import { RustFunction, type RustFunctionProps } from '../rust-function/rust-function.ts';

export type FrontDoorProps = Pick<RustFunctionProps, 'code' | 'environment' | 'reserved' | 'logDays'>;

export class FrontDoor extends RustFunction {
  /** Where it is: `https://…/`. */
  readonly url: string;
  /** Where Discord sends interactions. */
  readonly interactions: string;

  constructor(scope: Construct, id: string, props: FrontDoorProps) {
    super(scope, id, {
      ...props,
      description: 'answers Discord, programs and watchdogs',
      // A call of AWS is given up after 14 s; Discord gives up after 3.
      timeout: Duration.seconds(20),
    });
    acknowledge(this.function, {
      'Serverless-LambdaDLQ': 'nobody calls it without waiting for the answer',
      'Serverless-LambdaAsyncFailureDestination': 'nobody calls it without waiting for the answer',
    });
    const url = this.function.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.NONE });
    this.url = url.url;
    this.interactions = `${url.url}${INTERACTIONS_PATH}`;
  }
}
