import type { ChildModule } from '../factory.js';
import type { FewDescriptorsReport } from './few-descriptors-child.js';
import { reportOfChild } from './report-of-child.js';

/**
 * Runs a child module that calls `runFewDescriptorsChild`. Rejects when the child ends without a report, with
 * its standard error.
 */
export function withFewDescriptors<T, F = undefined>(
  module: ChildModule,
  args: readonly string[],
): Promise<FewDescriptorsReport<T, F>> {
  return reportOfChild(module, args);
}
