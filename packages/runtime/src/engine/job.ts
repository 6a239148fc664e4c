import { randomBytes } from 'node:crypto';
import { isVmRuntimeError } from '../contract/errors.js';
import type { OperationOptions } from '../contract/options.js';
import { cutText } from '../contract/printable.js';
import type { JobKind } from '../contract/verbs.js';
import type { JobProgress, JobStatus, JobView } from '../contract/views.js';
import type { JsonObject } from '../ports/driver.js';
import type { FinishedJob, JobResult, OperationRecord } from './record.js';
import { translateError } from './translate-error.js';

const MAX_RECORDED_LENGTH = 16 * 1024;

let sequence = 0;

/** Sorts as it was made: milliseconds, a counter, and what tells two processes apart. */
function makeJobId(nowMs: number): string {
  sequence = (sequence + 1) % 2 ** 32;
  const time = Math.trunc(nowMs).toString(16).padStart(12, '0');
  return `${time}${sequence.toString(16).padStart(8, '0')}${randomBytes(6).toString('hex')}`;
}

export interface JobInit {
  readonly kind: JobKind;
  readonly vmId?: string;
  /** Digest of the arguments. */
  readonly request: string;
  readonly options: OperationOptions;
}

/** A job that is queued or running. It ends once; what it ended as is kept in its VM's record. */
export class Job {
  readonly jobId: string;
  readonly kind: JobKind;
  readonly vmId: string | undefined;
  readonly request: string;
  readonly idempotencyKey: string | undefined;
  readonly queuedAt: string;
  readonly #abort = new AbortController();
  readonly #onProgress: OperationOptions['onProgress'];
  readonly #now: () => number;
  #startedAt: string | undefined;
  #progress: JobProgress | undefined;
  #finished: FinishedJob | undefined;
  #isInRecord = false;
  /** An intent was written: the job's end matters beyond this process. */
  hadEffects = false;

  constructor(init: JobInit, now: () => number) {
    this.#now = now;
    this.jobId = makeJobId(now());
    this.kind = init.kind;
    this.vmId = init.vmId;
    this.request = init.request;
    this.idempotencyKey = init.options.idempotencyKey;
    this.#onProgress = init.options.onProgress;
    this.queuedAt = this.#stamp();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get finished(): FinishedJob | undefined {
    return this.#finished;
  }

  /** The job's end stands in a VM's record. */
  get isInRecord(): boolean {
    return this.#isInRecord;
  }

  abort(reason: unknown): void {
    this.#abort.abort(reason);
  }

  start(): void {
    this.#startedAt = this.#stamp();
  }

  progress(progress: JobProgress): void {
    this.#progress = progress;
    shielded(() => this.#onProgress?.(progress));
  }

  /** The intent to write before the first effect. */
  operation(extra: Pick<OperationRecord, 'from' | 'snapshotUid'>): OperationRecord {
    this.hadEffects = true;
    return {
      jobId: this.jobId,
      kind: this.kind,
      ...(this.idempotencyKey === undefined
        ? {}
        : { idempotencyKey: this.idempotencyKey, request: this.request }),
      queuedAt: this.queuedAt,
      startedAt: this.#startedAt ?? this.queuedAt,
      ...extra,
    };
  }

  /** How the job looks once it succeeded; it ends only by `end`. */
  success(result: JobResult): FinishedJob {
    return { ...this.#base('succeeded'), result };
  }

  /** How the job looks if the process dies now, before its one effect. */
  interrupted(result: JobResult): FinishedJob {
    return { ...this.#base('interrupted'), outcome: 'undone', result };
  }

  /**
   * How the job looks once it failed: `cancelled` for an abort by the caller or by `cancelJob`, else
   * `failed`.
   */
  failure(error: unknown): FinishedJob {
    const isAbort = this.signal.aborted && error === this.signal.reason && !isVmRuntimeError(error);
    const isCancelled = isAbort || isVmRuntimeError(error, 'MICROVM_CANCELLED');
    return {
      ...this.#base(isCancelled ? 'cancelled' : 'failed'),
      error: describeError(this.translated(error), isCancelled),
    };
  }

  /** The error that the job's caller gets for an error of the driver or the host. */
  translated(error: unknown): unknown {
    return translateError(error, `${this.kind} "${this.vmId ?? ''}"`, this.signal.reason);
  }

  /** Ends the job; with `isInRecord` the VM's record has it already. */
  end(finished: FinishedJob, isInRecord = false): void {
    this.#finished = finished;
    this.#isInRecord = isInRecord;
  }

  view(): JobView {
    const status: JobStatus = this.#startedAt === undefined ? 'queued' : 'running';
    if (this.#finished !== undefined) return finishedJobView(this.#finished);
    return {
      jobId: this.jobId,
      kind: this.kind,
      ...(this.vmId === undefined ? {} : { vmId: this.vmId }),
      status,
      ...(this.idempotencyKey === undefined ? {} : { idempotencyKey: this.idempotencyKey }),
      queuedAt: this.queuedAt,
      ...(this.#startedAt === undefined ? {} : { startedAt: this.#startedAt }),
      ...(this.#progress === undefined ? {} : { progress: this.#progress }),
    };
  }

  #base<S extends FinishedJob['status']>(
    status: S,
  ): Omit<FinishedJob, 'error' | 'outcome' | 'result'> & { status: S } {
    return {
      jobId: this.jobId,
      kind: this.kind,
      ...(this.vmId === undefined ? {} : { vmId: this.vmId }),
      status,
      ...(this.idempotencyKey === undefined
        ? {}
        : { idempotencyKey: this.idempotencyKey, request: this.request }),
      queuedAt: this.queuedAt,
      ...(this.#startedAt === undefined ? {} : { startedAt: this.#startedAt }),
      endedAt: this.#stamp(),
    };
  }

  #stamp(): string {
    return new Date(this.#now()).toISOString();
  }
}

/** Cuts the error's texts, whoever made them, because every later write of the VM has this error in it. */
function describeError(error: unknown, isCancelled: boolean): NonNullable<FinishedJob['error']> {
  const message = cutText(error instanceof Error ? error.message : String(error), MAX_RECORDED_LENGTH);
  if (!isVmRuntimeError(error)) return { code: isCancelled ? 'ABORT' : 'UNKNOWN', message };
  const cut = (_: string, value: unknown): unknown =>
    typeof value === 'string' ? cutText(value, MAX_RECORDED_LENGTH) : value;
  return { code: error.code, message, details: JSON.parse(JSON.stringify(error.details, cut)) as JsonObject };
}

export function finishedJobView(job: FinishedJob): JobView {
  const { request: _request, result: _result, instanceId: _instanceId, error, ...view } = job;
  return error === undefined ? view : { ...view, error: { code: error.code, message: error.message } };
}

/**
 * Calls a caller's listener: what it throws is its own bug, told as a warning, and does no harm to the job.
 */
export function shielded(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error));
  }
}
