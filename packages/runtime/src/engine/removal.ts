import type { EngineContext } from './engine-context.js';
import type { Job } from './job.js';
import type { JobResult } from './record.js';

/**
 * Called before a job removes what its end would be kept with. When the caller gave an idempotency key, the
 * job is written to a file of its own. After a crash the next open looks whether `target` is still there, so
 * the key answers with what happened.
 */
export async function noteRemoval({ store }: EngineContext, job: Job, target: JobResult): Promise<void> {
  if (job.idempotencyKey !== undefined) await store.saveJob(job.interrupted(target));
}
