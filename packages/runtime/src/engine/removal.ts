import type { EngineContext } from './engine-context.js';
import type { Job } from './job.js';
import type { JobResult } from './record.js';

/**
 * Before a job removes what its end would be kept with: notes the job in a file of its own, when its caller
 * gave a key to ask again by. After a crash the next open looks whether `target` is still there, and so the
 * key answers with what happened.
 */
export async function noteRemoval({ store }: EngineContext, job: Job, target: JobResult): Promise<void> {
  if (job.idempotencyKey !== undefined) await store.saveJob(job.interrupted(target));
}
