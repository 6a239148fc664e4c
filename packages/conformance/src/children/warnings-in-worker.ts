import type { ChildModule } from '../factory.js';
import { reportOfChild } from './report-of-child.js';

/**
 * Runs a child module that calls `liveInWorker`; answers with the warnings that its worker had. Rejects when
 * the child ends without them, with its standard error.
 */
export function warningsInWorker(module: ChildModule, stateDir: string): Promise<readonly string[]> {
  return reportOfChild(module, [stateDir]);
}
