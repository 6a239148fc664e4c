import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildModule } from '../factory.js';
import { reportOfChild } from './report-of-child.js';

/**
 * Runs a child module that calls `liveInWorker`, in a state directory of its own; answers with the warnings
 * that its worker had. Rejects when the child ends without them, with its standard error.
 */
export async function warningsInWorker(module: ChildModule): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-worker-'));
  try {
    return await reportOfChild(module, [join(folder, 'state')]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
