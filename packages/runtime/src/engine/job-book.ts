import { VmRuntimeError } from '../contract/errors.js';
import type { JobView } from '../contract/views.js';
import { finishedJobView, Job } from './job.js';
import type { FinishedJob } from './record.js';

/** Ended jobs without a VM's record that are kept; beyond them the oldest are dropped. */
const LOOSE_LIMIT = 1024;

export interface JobBookOptions {
  readonly historyLimit: number;
  readonly retentionMs: number;
  readonly now: () => number;
  /** Called for a job that left the book and has a file of its own. */
  readonly onDropped: (jobId: string) => void;
}

/** Finds jobs by id and by idempotency key, and says which of the ended ones are kept. */
export class JobBook {
  readonly #options: JobBookOptions;
  readonly #live = new Map<string, Job>();
  readonly #finished = new Map<string, FinishedJob>();
  readonly #byKey = new Map<string, Job | FinishedJob>();
  readonly #loose: FinishedJob[] = [];

  constructor(options: JobBookOptions) {
    this.#options = options;
  }

  add(job: Job): void {
    this.#live.set(job.jobId, job);
    if (job.idempotencyKey !== undefined) this.#byKey.set(job.idempotencyKey, job);
  }

  live(jobId: string): Job | undefined {
    return this.#live.get(jobId);
  }

  get liveJobs(): Iterable<Job> {
    return this.#live.values();
  }

  view(jobId: string): JobView | undefined {
    const live = this.#live.get(jobId);
    if (live !== undefined) return live.view();
    const finished = this.#finished.get(jobId);
    return finished === undefined ? undefined : finishedJobView(finished);
  }

  /** In the order they were asked for. */
  list(vmId?: string): JobView[] {
    const views = [
      ...[...this.#finished.values()].map(finishedJobView),
      ...[...this.#live.values()].map((job) => job.view()),
    ];
    return views
      .filter((view) => vmId === undefined || view.vmId === vmId)
      .sort((a, b) => (a.jobId < b.jobId ? -1 : 1));
  }

  /**
   * The job that this key stands for, to join or to replay; undefined when the request is to be done. A job that a crash undid is to be
   * done again. Errors: IDEMPOTENCY_CONFLICT.
   */
  findByKey(key: string, kind: string, request: string): Job | FinishedJob | undefined {
    const found = this.#byKey.get(key);
    if (found === undefined) return undefined;
    if (!(found instanceof Job) && !this.#isRetained(found)) return undefined;
    if (found.kind !== kind || found.request !== request) {
      const { jobId } = found;
      throw new VmRuntimeError(
        'MICROVM_IDEMPOTENCY_CONFLICT',
        `key "${key}" belongs to another request: ${found.kind}, job ${jobId}`,
        { details: { idempotencyKey: key, jobId, kind: found.kind } },
      );
    }
    const wasUndone =
      !(found instanceof Job) && found.status === 'interrupted' && found.outcome !== 'carried-through';
    return wasUndone || (!(found instanceof Job) && found.status === 'cancelled') ? undefined : found;
  }

  /** Files an ended job; with `isInRecord` its VM's record decides how long it is kept. */
  end(job: FinishedJob, isInRecord: boolean): void {
    this.#live.delete(job.jobId);
    this.#finished.set(job.jobId, job);
    if (job.idempotencyKey !== undefined) this.#byKey.set(job.idempotencyKey, job);
    if (isInRecord) return;
    this.#loose.push(job);
    while (this.#loose.length > LOOSE_LIMIT) {
      const dropped = this.#loose.shift();
      if (dropped === undefined) break;
      this.#drop(dropped);
      this.#options.onDropped(dropped.jobId);
    }
  }

  /** A VM's history with one job more, and without those that are too old to be kept. */
  appendTo(history: readonly FinishedJob[], job: FinishedJob): readonly FinishedJob[] {
    const all = [...history, job];
    let excess = all.length - this.#options.historyLimit;
    if (excess <= 0) return all;
    return all.filter((old) => {
      if (excess <= 0 || old === job || (old.idempotencyKey !== undefined && this.#isRetained(old)))
        return true;
      excess -= 1;
      this.#drop(old);
      return false;
    });
  }

  /** Forgets the history of a VM that is gone. */
  drop(history: readonly FinishedJob[]): void {
    for (const job of history) this.#drop(job);
  }

  #drop(job: FinishedJob): void {
    this.#finished.delete(job.jobId);
    if (job.idempotencyKey !== undefined && this.#byKey.get(job.idempotencyKey) === job) {
      this.#byKey.delete(job.idempotencyKey);
    }
  }

  #isRetained(job: FinishedJob): boolean {
    return this.#options.now() - Date.parse(job.endedAt) < this.#options.retentionMs;
  }
}
