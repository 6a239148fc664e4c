import pLimit, { type LimitFunction } from 'p-limit';
import { VmRuntimeError } from '../contract/errors.js';
import type { OperationOptions } from '../contract/options.js';
import type { JobView } from '../contract/views.js';
import type { Clock } from '../ports/clock.js';
import { onAbort } from '../waiting/on-abort.js';
import { untilAborted, within } from '../waiting/within.js';
import type { EventHub } from './event-hub.js';
import { Job, shielded, type JobInit } from './job.js';
import type { JobBook } from './job-book.js';
import { Lanes } from './lanes.js';
import type { FinishedJob, JobResult } from './record.js';
import type { StateStore } from './state-store.js';
import { warnOf } from './warn-of.js';

/** What a verb asks the runner to do. */
export interface JobRequest<T> extends Omit<JobInit, 'options'> {
  /** Calls that share one of these run one after the other, in the order in which they came. */
  readonly names: readonly string[];
  /**
   * What the job works on, once it is its turn by name. Jobs on the same subject run one after the other,
   * whatever ids they were called with.
   */
  subject(): string | undefined;
  execute(job: Job): Promise<JobResult>;
  /** Makes the answer from the job's result; called again for a call under the same idempotency key. */
  answer(result: JobResult): T;
}

export interface JobRunnerOptions {
  readonly book: JobBook;
  readonly store: StateStore;
  readonly hub: EventHub;
  readonly clock: Clock;
  readonly concurrency: number;
  readonly operationTimeoutMs: number;
}

/**
 * Runs lifecycle jobs: in order per lane, many at once up to a limit, each with its deadline, abort and
 * idempotency key.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #lanes = new Lanes();
  readonly #limit: LimitFunction;
  readonly #flights = new Map<Job, Promise<unknown>>();

  constructor(options: JobRunnerOptions) {
    this.#options = options;
    this.#limit = pLimit(options.concurrency);
  }

  /**
   * Resolves as the job does. Errors: those of the verb, TIMEOUT, CANCELLED, IDEMPOTENCY_CONFLICT; an abort
   * rejects with the signal's reason.
   */
  async run<T>(request: JobRequest<T>, options: OperationOptions): Promise<T> {
    options.signal?.throwIfAborted();
    const { book, clock } = this.#options;
    const key = options.idempotencyKey;
    const earlier = key === undefined ? undefined : book.findByKey(key, request.kind, request.request);
    if (earlier instanceof Job) return this.#join<T>(earlier, request, options);
    if (earlier !== undefined) return replay(earlier, request);

    const job = new Job({ ...request, options }, () => clock.now());
    book.add(job);
    this.#emit(job);
    shielded(() => options.onJob?.(job.view()));
    const flight = this.#fly(request, job, options);
    this.#flights.set(job, flight);
    try {
      return await flight;
    } finally {
      this.#flights.delete(job);
    }
  }

  /** Cancels a job and waits for its end. Undefined for an unknown one. */
  async cancel(jobId: string): Promise<JobView | undefined> {
    const job = this.#options.book.live(jobId);
    if (job !== undefined) {
      job.abort(
        new VmRuntimeError('MICROVM_CANCELLED', `job ${jobId} was cancelled`, { details: { jobId } }),
      );
      await this.#flights.get(job)?.catch(() => undefined); // its caller has the error
    }
    return job?.view() ?? this.#options.book.view(jobId);
  }

  /** Waits until no job is queued or running. */
  async idle(): Promise<void> {
    while (this.#flights.size > 0) await Promise.allSettled(this.#flights.values());
  }

  /** Waits for another call's job, as long as this call may. */
  async #join<T>(job: Job, request: JobRequest<T>, options: OperationOptions): Promise<T> {
    const flight = this.#flights.get(job);
    if (flight === undefined) return this.#replayEnded(job, request);
    const outcome = flight.then(
      () => this.#replayEnded(job, request),
      () => this.#replayEnded(job, request),
    );
    const { clock } = this.#options;
    const timeoutMs = this.#timeoutOf(options);
    return within(outcome, { signal: options.signal, timeoutMs, clock }, () => {
      throw timedOut(job, timeoutMs);
    });
  }

  #replayEnded<T>(job: Job, request: JobRequest<T>): T {
    if (job.finished === undefined) throw new Error(`job ${job.jobId} has no end`);
    return replay(job.finished, request);
  }

  async #fly<T>(request: JobRequest<T>, job: Job, options: OperationOptions): Promise<T> {
    const disarm = this.#arm(job, options);
    try {
      const { signal } = job;
      const result = await this.#lanes.run(request.names, signal, () => {
        const subject = request.subject();
        const lanes = subject === undefined ? [] : [subject];
        return this.#lanes.run(lanes, signal, () => this.#limited(request, job));
      });
      if (job.finished === undefined) job.end(job.success(result));
      return request.answer(result);
    } catch (error) {
      const translated = job.translated(error);
      if (job.finished === undefined) job.end(job.failure(translated));
      throw translated;
    } finally {
      disarm();
      await this.#end(job);
    }
  }

  // An abort while the job waits for its share of the limit ends the job at once. Afterwards the job itself
  // decides when it lets go.
  #limited<T>(request: JobRequest<T>, job: Job): Promise<JobResult> {
    let hasStarted = false;
    const run = this.#limit(async () => {
      job.signal.throwIfAborted();
      hasStarted = true;
      job.start();
      this.#emit(job);
      return request.execute(job);
    });
    return untilAborted(run, job.signal).catch((error: unknown) => {
      if (hasStarted) return run;
      run.catch(() => undefined); // the task will reject with the same reason once its share comes
      throw error;
    });
  }

  #arm(job: Job, options: OperationOptions): () => void {
    const timeoutMs = this.#timeoutOf(options);
    const cancelTimer = this.#options.clock.schedule(timeoutMs, () => job.abort(timedOut(job, timeoutMs)));
    const stopWatching = onAbort(options.signal, () => job.abort(options.signal?.reason));
    return () => {
      cancelTimer();
      stopWatching();
    };
  }

  #timeoutOf({ timeoutMs }: OperationOptions): number {
    return timeoutMs ?? this.#options.operationTimeoutMs;
  }

  /** Never rejects: the verb's result stands, also when the job's end cannot be written. */
  async #end(job: Job): Promise<void> {
    const { finished } = job;
    if (finished === undefined) return;
    this.#options.book.end(finished, job.isInRecord);
    this.#emit(job);
    const matters = job.hadEffects || (job.idempotencyKey !== undefined && finished.status === 'succeeded');
    if (job.isInRecord || !matters) return;
    await this.#options.store.saveJob(finished).catch((error: unknown) => {
      warnOf(`note the end of job ${job.jobId}`, error);
    });
  }

  #emit(job: Job): void {
    if (!this.#options.hub.hasReaders) return;
    const at = new Date(this.#options.clock.now()).toISOString();
    this.#options.hub.emit({ type: 'job', at, job: job.view() });
  }
}

function timedOut(job: Job, timeoutMs: number): VmRuntimeError {
  const operation = `${job.kind}${job.vmId === undefined ? '' : ` "${job.vmId}"`}`;
  return new VmRuntimeError('MICROVM_TIMEOUT', `${operation}: not done after ${timeoutMs} ms`, {
    details: { operation, timeoutMs },
  });
}

function replay<T>(finished: FinishedJob, request: JobRequest<T>): T {
  const { status, outcome, result = {} } = finished;
  if (status === 'succeeded' || outcome === 'carried-through') return request.answer(result);
  throw errorOf(finished);
}

/** The error by which a job ended, made anew from the job's view. */
function errorOf({ jobId, status, outcome, error }: FinishedJob): VmRuntimeError {
  if (status === 'cancelled') {
    return new VmRuntimeError('MICROVM_CANCELLED', `job ${jobId} was cancelled`, { details: { jobId } });
  }
  if (status === 'interrupted') {
    const details = { jobId, outcome: outcome ?? 'undone' };
    return new VmRuntimeError('MICROVM_INTERRUPTED', `job ${jobId} was interrupted`, { details });
  }
  return VmRuntimeError.fromJSON(error);
}
