import type { Clock } from '../ports/clock.js';
import type { Announcer } from './announcer.js';
import type { OnStep } from './driver-calls.js';
import type { Vm } from './fleet.js';
import type { Job } from './job.js';
import type { JobBook } from './job-book.js';
import { patched, type RecordPatch } from './record-patch.js';
import type { FinishedJob, JobResult, OperationRecord, VmRecord } from './record.js';
import type { StateStore } from './state-store.js';
import { warnOf } from './warn-of.js';

export interface JournalParts {
  readonly store: StateStore;
  readonly book: JobBook;
  readonly announcer: Announcer;
  readonly clock: Clock;
  readonly onStep: OnStep;
}

/**
 * The records of VMs and how they change: a job's intent, a job's result, and changes that were seen without
 * a job.
 */
export class Journal {
  readonly #parts: JournalParts;

  constructor(parts: JournalParts) {
    this.#parts = parts;
  }

  /** The time for a record. */
  stamp(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }

  /** A place between two effects of a job, at which a test may end the process. */
  async step(name: string): Promise<void> {
    await this.#parts.onStep?.(name);
  }

  /** Writes the intent of a job before its first effect. */
  async begin(vm: Vm, job: Job, extra: Pick<OperationRecord, 'snapshotUid'> = {}): Promise<void> {
    await this.step(`${job.kind}:accepted`);
    const operation = job.operation({ from: vm.record.state, ...extra });
    vm.record = { ...vm.record, operation };
    vm.told.secrets.begin();
    try {
      // At once: the disk then writes both in one go, and the commit has nothing to move any more.
      await Promise.all([this.#parts.store.writeVm(vm.record), this.#archiveFor(vm.record)]);
    } catch (error) {
      vm.record = this.#patched(vm.record, { operation: undefined });
      throw error;
    }
  }

  /** Writes a job's result together with the job's end, in one atomic write. */
  async commit(vm: Vm, job: Job, patch: RecordPatch, result: JobResult = {}): Promise<void> {
    await this.step(`${job.kind}:effects`);
    await this.end(vm, job, patch, result);
    await this.step(`${job.kind}:committed`);
  }

  /** The write of a commit alone, for a job without an intent. */
  async end(vm: Vm, job: Job, patch: RecordPatch, result: JobResult = {}): Promise<void> {
    const finished = job.success({ instanceId: vm.record.instanceId, ...result });
    await this.#write(vm, { ...patch, operation: undefined }, finished);
    vm.told.secrets.commit();
    job.end(finished, true);
  }

  /**
   * Writes how a job failed and the state it left the VM in. Never rejects: the job's own error is what its
   * caller must get. Where it cannot be written, memory alone has it, and the next open of the state
   * directory finds the intent.
   */
  async commitFailure(vm: Vm, job: Job, error: unknown, patch: RecordPatch): Promise<void> {
    const finished = job.failure(error);
    const change = { ...patch, operation: undefined };
    try {
      await this.#write(vm, change, finished);
      job.end(finished, true);
    } catch (writeError) {
      this.changeInMemory(vm, change);
      warnOf(`note the failure of ${job.kind} "${vm.record.vmId}"`, writeError);
    }
  }

  /** Writes how a job that a crash interrupted was settled. */
  async endInterrupted(vm: Vm, finished: FinishedJob, patch: RecordPatch): Promise<void> {
    this.#parts.book.end(finished, true);
    await this.#write(vm, { ...patch, operation: undefined }, finished);
  }

  /** Replaces the record, durably, and announces a changed state. */
  write(vm: Vm, patch: RecordPatch): Promise<void> {
    return this.#write(vm, patch);
  }

  /**
   * Changes what the view says, without a write: for what is true although it cannot be written, or not yet.
   */
  changeInMemory(vm: Vm, patch: RecordPatch): void {
    const before = vm.record;
    vm.record = this.#patched(before, patch);
    vm.told.follow(vm.record);
    this.#announce(before, vm.record);
  }

  async #write(vm: Vm, patch: RecordPatch, finished?: FinishedJob): Promise<void> {
    const { store, book } = this.#parts;
    const change: RecordPatch =
      finished === undefined ? patch : { ...patch, jobs: book.history(vm.record.jobs, finished).kept };
    if (finished !== undefined) await this.#archiveFor(vm.record);
    const at = this.stamp();
    await store.writeVm(patched(vm.record, change, at));
    // Merged with the record as it is now: an end may have been seen during the write.
    const before = vm.record;
    vm.record = patched(before, change, at);
    vm.told.follow(vm.record);
    if (finished !== undefined) this.#forgetBeyond(before, finished);
    this.#announce(before, vm.record);
  }

  /**
   * Ended jobs that the next one pushes out of the record, and whose keys must still answer, get files of
   * their own.
   */
  async #archiveFor({ jobs, instanceId }: VmRecord): Promise<void> {
    const { store, book } = this.#parts;
    const due = book.history(jobs).displaced.filter((job) => book.mustOutlive(job));
    const saves = due.map(async (job) => {
      const ofVm = { ...job, instanceId };
      // The key of a job that could not be saved answers until this process ends, and not after it.
      await store.saveJob(ofVm).catch((error: unknown) => warnOf(`save job ${job.jobId}`, error));
      book.shelve(ofVm);
    });
    await Promise.all(saves);
  }

  #forgetBeyond({ jobs }: VmRecord, finished: FinishedJob): void {
    const { book } = this.#parts;
    for (const job of book.history(jobs, finished).displaced) book.leaveRecord(job);
  }

  #patched(record: VmRecord, patch: RecordPatch): VmRecord {
    return patched(record, patch, this.stamp());
  }

  #announce(before: VmRecord, after: VmRecord): void {
    const isNew = before.operation?.kind === 'createVm' && after.operation === undefined;
    this.#parts.announcer.stateChanged(isNew ? undefined : before.state, after);
  }
}
