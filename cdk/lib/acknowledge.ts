/** Answers to cdk-nag, beside what they are about: each finding that stays has its reason. */

import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** Says why the findings `reasons` names stay as they are for `construct`. */
export function acknowledge(construct: IConstruct, reasons: Readonly<Record<string, string>>): void {
  for (const [id, reason] of Object.entries(reasons)) Validations.of(construct).acknowledge({ id, reason });
}
