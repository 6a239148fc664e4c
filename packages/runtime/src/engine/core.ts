import type { VmEvent } from '../contract/events.js';
import type { VmState } from '../contract/states.js';
import type { VmEnding, VmView } from '../contract/views.js';
import type { Clock } from '../ports/clock.js';
import type { Run, VmDriver } from '../ports/driver.js';
import { stateAfter } from './ending.js';
import type { EventHub } from './event-hub.js';
import { driverVm, type Fleet, type Vm, vmView } from './fleet.js';
import type { Job } from './job.js';
import type { JobBook } from './job-book.js';
import type { FinishedJob, OperationRecord, VmRecord } from './record.js';
import type { SnapshotCatalogue } from './snapshot-catalogue.js';
import type { StateStore } from './state-store.js';

export interface CoreParts {
  readonly driver: VmDriver;
  readonly store: StateStore;
  readonly catalogue: SnapshotCatalogue;
  readonly fleet: Fleet;
  readonly book: JobBook;
  readonly hub: EventHub;
  readonly clock: Clock;
  readonly abortGraceMs: number;
  readonly onStep: ((step: string) => void | Promise<void>) | undefined;
}

/** A driver that did not let go of an aborted method in time. */
export class UnresponsiveDriver extends Error {}

/** What changes in a record; undefined removes a field. */
export type RecordPatch = { readonly [K in keyof VmRecord]?: VmRecord[K] | undefined };

/** What all verbs work with: the records and their journal, the driver, the events. */
export class Core {
  readonly driver: VmDriver;
  readonly store: StateStore;
  readonly catalogue: SnapshotCatalogue;
  readonly fleet: Fleet;
  readonly book: JobBook;
  readonly clock: Clock;
  readonly abortGraceMs: number;
  readonly #hub: EventHub;
  readonly #onStep: CoreParts['onStep'];

  constructor(parts: CoreParts) {
    this.driver = parts.driver;
    this.store = parts.store;
    this.catalogue = parts.catalogue;
    this.fleet = parts.fleet;
    this.book = parts.book;
    this.clock = parts.clock;
    this.abortGraceMs = parts.abortGraceMs;
    this.#hub = parts.hub;
    this.#onStep = parts.onStep;
  }

  view(vm: Vm): VmView {
    return vmView(vm.record, this.catalogue);
  }

  driverVm(vm: Vm): ReturnType<typeof driverVm> {
    return driverVm(vm.record, this.store);
  }

  stamp(): string {
    return new Date(this.clock.now()).toISOString();
  }

  emit(event: DistributiveOmit<VmEvent, 'at'>): void {
    if (this.#hub.hasReaders) this.#hub.emit({ ...event, at: this.stamp() });
  }

  async step(name: string): Promise<void> {
    await this.#onStep?.(name);
  }

  /** Writes the intent of a job before its first effect. */
  async begin(vm: Vm, job: Job, extra: Pick<OperationRecord, 'snapshotUid'> = {}): Promise<void> {
    await this.step(`${job.kind}:accepted`);
    const before = vm.record;
    vm.record = { ...before, operation: job.operation({ from: before.state, ...extra }) };
    try {
      await this.store.writeVm(vm.record);
    } catch (error) {
      vm.record = before;
      throw error;
    }
    await this.step(`${job.kind}:intent`);
  }

  /** Writes what a job came to, together with the job's own end: one atomic write. */
  async commit(vm: Vm, job: Job, patch: RecordPatch, result: FinishedJob['result'] = {}): Promise<void> {
    await this.step(`${job.kind}:effects`);
    await this.#end(vm, job, job.success({ instanceId: vm.record.instanceId, ...result }), patch);
    await this.step(`${job.kind}:committed`);
  }

  /** Writes how a job failed and the state it left the VM in. */
  commitFailure(vm: Vm, job: Job, error: unknown, patch: RecordPatch): Promise<void> {
    return this.#end(vm, job, job.failure(error), patch);
  }

  async #end(vm: Vm, job: Job, finished: FinishedJob, patch: RecordPatch): Promise<void> {
    const jobs = this.book.appendTo(vm.record.jobs, finished);
    await this.write(vm, { ...patch, operation: undefined, jobs });
    job.end(finished, true);
  }

  /** Replaces the record, durably, and tells of a changed state. */
  async write(vm: Vm, patch: RecordPatch): Promise<void> {
    const before = vm.record;
    const record = this.patched(before, patch);
    await this.store.writeVm(record);
    vm.record = record;
    this.announce(before.operation?.kind === 'createVm' ? undefined : before.state, record);
  }

  patched(before: VmRecord, patch: RecordPatch): VmRecord {
    const hasNewState = patch.state !== undefined && patch.state !== before.state;
    const merged = { ...before, ...(hasNewState ? { changedAt: this.stamp() } : {}), ...patch };
    const defined = Object.entries(merged).filter(([, value]) => value !== undefined);
    return Object.fromEntries(defined) as unknown as VmRecord;
  }

  announce(from: VmState | undefined, record: VmRecord): void {
    const { vmId, instanceId, state, ending } = record;
    if (from === state) return;
    this.emit({
      type: 'vm-state',
      vmId,
      instanceId,
      ...(from === undefined ? {} : { from }),
      to: state,
      ...(ending === undefined ? {} : { ending }),
    });
  }

  /**
   * Runs a driver's method for a job. After an abort the method has a grace to let go; a method that does not is left behind
   * and `UnresponsiveDriver` thrown. A method that succeeds in spite of an abort still rejects with the reason: its effect is undone.
   */
  async perform<T>(job: Job, method: (run: Run) => Promise<T>): Promise<T> {
    const value = await this.performFinal(job, method);
    job.signal.throwIfAborted();
    return value;
  }

  /** The same for what cannot be undone: once the method succeeded, an abort came too late. */
  async performFinal<T>(job: Job, method: (run: Run) => Promise<T>): Promise<T> {
    job.signal.throwIfAborted();
    return this.#withGrace(job.signal, method(this.#run(job.signal, job)));
  }

  /** Runs a driver's method that undoes or cleans up: no abort of the caller's, but an end of its own. */
  async bounded<T>(method: (run: Run) => Promise<T>, boundMs = this.abortGraceMs): Promise<T> {
    const abort = new AbortController();
    const cancel = this.clock.schedule(boundMs, () =>
      abort.abort(new UnresponsiveDriver(`no answer in ${boundMs} ms`)),
    );
    try {
      return await this.#withGrace(abort.signal, method(this.#run(abort.signal)), 0);
    } finally {
      cancel();
    }
  }

  #run(signal: AbortSignal, job?: Job): Run {
    return { signal, progress: (progress) => job?.progress(progress), step: (name) => this.step(name) };
  }

  async #withGrace<T>(signal: AbortSignal, flight: Promise<T>, graceMs = this.abortGraceMs): Promise<T> {
    let cancel: (() => void) | undefined;
    let onAbort: (() => void) | undefined;
    const abandoned = new Promise<never>((_, reject) => {
      onAbort = () => {
        cancel = this.clock.schedule(graceMs, () =>
          reject(
            new UnresponsiveDriver(`the driver did not let go in ${graceMs} ms`, { cause: signal.reason }),
          ),
        );
      };
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([flight, abandoned]);
    } finally {
      flight.catch(() => undefined); // abandoned: what it may still throw has nobody to go to
      cancel?.();
      if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
    }
  }

  /** Deals with an end that the driver told of, before a job looks at the VM. */
  async absorbEnding(vm: Vm): Promise<void> {
    const ending = vm.unhandledEnding;
    if (ending === undefined) return;
    const cleanup = await this.halt(vm);
    vm.unhandledEnding = undefined;
    await this.write(vm, { ...endedPatch(ending), cleanup });
  }

  /** Ends the VMM; answers what could not be ended. */
  async halt(vm: Vm): Promise<VmRecord['cleanup']> {
    try {
      await this.bounded(() => this.driver.halt(this.driverVm(vm)));
      return undefined;
    } catch (error) {
      return { left: [`VMM of ${vm.record.instanceId}: ${(error as Error).message}`] };
    }
  }
}

/** What an end changes in a record. */
export function endedPatch(ending: VmEnding): RecordPatch {
  const { state, stop } = stateAfter(ending);
  return { state, stop, ending, vmm: undefined, memoryFrom: undefined, unrepaired: undefined };
}

/** What the start of a new life changes in a record. */
export const NEW_LIFE: RecordPatch = {
  state: 'running',
  ending: undefined,
  stop: undefined,
  cleanup: undefined,
};

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
