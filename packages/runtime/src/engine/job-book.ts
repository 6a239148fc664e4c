import { VmRuntimeError } from '../contract/errors.js';
import type { JobView } from '../contract/views.js';
import type { Clock } from '../ports/clock.js';
import { isSameRequest } from './fingerprints.js';
import { finishedJobView, Job } from './job.js';
import type { FinishedJob } from './record.js';

/** Ended jobs that are kept beside those in the records of VMs: the newest so many. */
const LIMITS = { withKey: 4096, withoutKey: 1024 } as const;

export interface JobBookOptions {
  /** Ended jobs that a VM's record has at most. */
  readonly historyLimit: number;
  readonly retentionMs: number;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  /** Called for a job that left the book and may have a file of its own. */
  readonly onDropped: (jobId: string) => void;
}

/** A VM's ended jobs, when one more ends: those that its record keeps, and those that it has no room for. */
export interface History {
  readonly kept: readonly FinishedJob[];
  readonly displaced: readonly FinishedJob[];
}

interface Key {
  readonly job: Job | FinishedJob;
  /** By the monotonic clock; undefined while the job is queued or running. */
  readonly answersUntil: number | undefined;
}

/** Finds jobs by id and by idempotency key. Decides which ended jobs are kept, and where. */
export class JobBook {
  readonly #options: JobBookOptions;
  readonly #live = new Map<string, Job>();
  readonly #finished = new Map<string, FinishedJob>();
  readonly #byKey = new Map<string, Key>();
  /** Those that no record has to keep, oldest first. */
  readonly #shelves = {
    withKey: new Map<string, FinishedJob>(),
    withoutKey: new Map<string, FinishedJob>(),
  } as const;

  constructor(options: JobBookOptions) {
    this.#options = options;
  }

  add(job: Job): void {
    this.#live.set(job.jobId, job);
    if (job.idempotencyKey !== undefined) {
      this.#byKey.set(job.idempotencyKey, { job, answersUntil: undefined });
    }
  }

  live(jobId: string): Job | undefined {
    return this.#live.get(jobId);
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
   * The job that this key stands for, to join or to replay; undefined when the request is to be done. A
   * request that was cancelled or undone by a crash is to be done again. Errors: IDEMPOTENCY_CONFLICT.
   */
  findByKey(key: string, kind: string, request: string): Job | FinishedJob | undefined {
    const found = this.#byKey.get(key);
    if (found === undefined || !this.#answers(found)) return undefined;
    const { job } = found;
    if (job.kind !== kind || !isSameRequest(job.request, request)) {
      const { jobId } = job;
      throw new VmRuntimeError(
        'MICROVM_IDEMPOTENCY_CONFLICT',
        `key "${key}" belongs to another request: ${job.kind}, job ${jobId}`,
        { details: { idempotencyKey: key, jobId, kind: job.kind } },
      );
    }
    if (job instanceof Job) return job;
    const wasUndone = job.status === 'interrupted' && job.outcome !== 'carried-through';
    return wasUndone || job.status === 'cancelled' ? undefined : job;
  }

  /** Files a job that ended just now; with `isInRecord` its VM's record has it. */
  end(job: FinishedJob, isInRecord: boolean): void {
    this.#live.delete(job.jobId);
    this.#file(job, this.#options.retentionMs);
    if (!isInRecord) this.shelve(job);
  }

  /** Files a job that ended in an earlier process. */
  load(job: FinishedJob, isInRecord: boolean): void {
    const { retentionMs, clock } = this.#options;
    // The clock may have been set since, forward or back: a key answers never longer than its retention.
    const ageMs = Math.max(0, clock.now() - Date.parse(job.endedAt));
    this.#file(job, Math.max(0, retentionMs - ageMs));
    if (!isInRecord) this.shelve(job);
  }

  /** A VM's history with one job more, whether that has ended or not. */
  history(jobs: readonly FinishedJob[], next?: FinishedJob): History {
    const all = next === undefined ? jobs : [...jobs, next];
    const excess = Math.max(0, jobs.length + 1 - this.#options.historyLimit);
    return { kept: all.slice(excess), displaced: jobs.slice(0, excess) };
  }

  /** Whether an ended job's key still answers and only its VM's record has the job. */
  mustOutlive(job: FinishedJob): boolean {
    if (job.idempotencyKey === undefined || this.#isShelved(job)) return false;
    const key = this.#byKey.get(job.idempotencyKey);
    return key?.job.jobId === job.jobId && this.#answers(key);
  }

  /** Keeps an ended job whether or not a record has it. */
  shelve(job: FinishedJob): void {
    const name = job.idempotencyKey === undefined ? 'withoutKey' : 'withKey';
    const shelf = this.#shelves[name];
    shelf.set(job.jobId, job);
    for (const [jobId, oldest] of shelf) {
      if (shelf.size <= LIMITS[name]) break;
      shelf.delete(jobId);
      this.#drop(oldest);
      this.#options.onDropped(jobId);
    }
  }

  /** Forgets a job that its VM's record has no room for any more, unless it is kept for itself. */
  leaveRecord(job: FinishedJob): void {
    if (!this.#isShelved(job)) this.#drop(job);
  }

  /** Forgets the history of a VM that is gone. */
  forget(instanceId: string, history: readonly FinishedJob[]): void {
    for (const job of history) this.#drop(job);
    for (const [jobId, job] of this.#shelves.withKey) {
      if (job.instanceId !== instanceId) continue;
      this.#shelves.withKey.delete(jobId);
      this.#drop(job);
      this.#options.onDropped(jobId);
    }
  }

  #isShelved({ jobId }: FinishedJob): boolean {
    return this.#shelves.withKey.has(jobId) || this.#shelves.withoutKey.has(jobId);
  }

  #file(job: FinishedJob, answersForMs: number): void {
    this.#finished.set(job.jobId, job);
    if (job.idempotencyKey === undefined) return;
    const answersUntil = this.#options.clock.monotonic() + answersForMs;
    this.#byKey.set(job.idempotencyKey, { job, answersUntil });
  }

  #drop(job: FinishedJob): void {
    this.#finished.delete(job.jobId);
    if (job.idempotencyKey === undefined) return;
    if (this.#byKey.get(job.idempotencyKey)?.job.jobId === job.jobId) {
      this.#byKey.delete(job.idempotencyKey);
    }
  }

  #answers({ answersUntil }: Key): boolean {
    return answersUntil === undefined || this.#options.clock.monotonic() < answersUntil;
  }
}
