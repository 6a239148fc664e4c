import { createHash } from 'node:crypto';
import type { Capabilities } from '../contract/capabilities.js';
import { invalidArgument, unsupported, VmRuntimeError } from '../contract/errors.js';
import type { VmEvent } from '../contract/events.js';
import type { Guest } from '../contract/guest.js';
import type { HostReport } from '../contract/host-report.js';
import { parseSnapshotId, parseSnapshotUid, parseVmId } from '../contract/ids.js';
import type { VmMetrics } from '../contract/metrics.js';
import {
  parseConsoleOptions,
  parseEventsOptions,
  parseJobFilter,
  parseMetricsOptions,
  parseOperationOptions,
  type ConsoleOptions,
  type EventsOptions,
  type JobFilter,
  type MetricsOptions,
  type OperationOptions,
} from '../contract/options.js';
import type { SnapshotRef } from '../contract/provider.js';
import { VmRuntime, type RecoveryReport } from '../contract/runtime.js';
import { parseVmSpec, type VmSpec } from '../contract/spec.js';
import type { JobKind, JobView, SnapshotView, VmEnding, VmView } from '../contract/views.js';
import { canonicalJson } from './canonical-json.js';
import { endedPatch, type Core } from './core.js';
import type { EventHub } from './event-hub.js';
import type { Vm } from './fleet.js';
import type { Job } from './job.js';
import type { JobRequest, JobRunner } from './job-runner.js';
import { snapshotView } from './manifest.js';
import type { FinishedJob } from './record.js';
import { metricsOf } from './vm-metrics.js';
import { createVm } from './verbs/create.js';
import { destroyUnwatched, destroyVm, forgetVm, renameVm } from './verbs/identity.js';
import { observeVm, pauseVm, resumeVm, startVm, stopVm } from './verbs/run-state.js';
import { deleteSnapshot, snapshotVm, verifySnapshot } from './verbs/snapshot.js';
import { findSnapshot, requireSnapshot, snapshotNotFound } from './verbs/snapshot-ref.js';

export interface LifecycleEngineParts {
  readonly core: Core;
  readonly runner: JobRunner;
  readonly hub: EventHub;
  readonly defaults: VmSpec;
  readonly recovery: RecoveryReport;
  readonly onClose: (() => Promise<void>) | undefined;
}

interface Work<T> extends Pick<JobRequest<T>, 'lanes' | 'execute' | 'replay'> {
  /** What makes two calls of a verb the same request. */
  readonly args: readonly unknown[];
}

/** The contract, implemented once for every driver: checks arguments, makes jobs of verbs, answers queries from the records. */
export class LifecycleEngine extends VmRuntime {
  readonly capabilities: Capabilities;
  readonly recovery: RecoveryReport;
  readonly #core: Core;
  readonly #runner: JobRunner;
  readonly #hub: EventHub;
  readonly #defaults: VmSpec;
  readonly #onClose: (() => Promise<void>) | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: LifecycleEngineParts) {
    super();
    this.#core = parts.core;
    this.#runner = parts.runner;
    this.#hub = parts.hub;
    this.#defaults = parts.defaults;
    this.#onClose = parts.onClose;
    this.recovery = parts.recovery;
    this.capabilities = Object.freeze({
      ...parts.core.driver.capabilities,
      durable: parts.core.store.isDurable,
      adoption: parts.core.store.isDurable && parts.core.driver.capabilities.adoption,
    });
  }

  override createVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.createVmWithSpec(vmId, {}, options);
  }

  override async createVmWithSpec(vmId: string, spec: VmSpec, options?: OperationOptions): Promise<VmView> {
    this.#assertOpen();
    parseVmId(vmId);
    const parsed = parseVmSpec(spec);
    const { restoreFrom } = parsed;
    if (restoreFrom !== undefined) parseSnapshotRef(restoreFrom, 'spec.restoreFrom');
    const request = { vmId, spec: parsed, defaults: this.#defaults };
    return this.#run('createVm', options, {
      lanes: [vmId],
      args: [vmId, parsed],
      execute: (job) => createVm(this.#core, request, job),
      replay: (finished) => this.#replayVm(finished),
    });
  }

  override async startVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#onVm('startVm', vmId, options, startVm);
  }

  override async stopVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#onVm('stopVm', vmId, options, stopVm);
  }

  override async pauseVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#onVm('pauseVm', vmId, options, pauseVm);
  }

  override async resumeVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#onVm('resumeVm', vmId, options, resumeVm);
  }

  override async destroyVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#onVm('destroyVm', vmId, options, destroyVm);
  }

  override async forgetVm(vmId: string, options?: OperationOptions): Promise<void> {
    this.#assertOpen();
    parseVmId(vmId);
    return this.#run('forgetVm', options, {
      lanes: [vmId],
      args: [vmId],
      execute: (job) => this.#withVm(vmId, (vm) => forgetVm(this.#core, vm, job)),
      replay: () => Promise.resolve(),
    });
  }

  override async renameVm(oldVmId: string, newVmId: string, options?: OperationOptions): Promise<VmView> {
    this.#assertOpen();
    parseVmId(oldVmId, 'oldVmId');
    parseVmId(newVmId, 'newVmId');
    this.#require(this.capabilities.rename, 'renameVm');
    const lanes = [...new Set([oldVmId, newVmId])];
    return this.#run('renameVm', options, {
      lanes: lanes,
      args: [oldVmId, newVmId],
      execute: (job) => this.#withVm(oldVmId, (vm) => renameVm(this.#core, vm, newVmId, job)),
      replay: (finished) => this.#replayVm(finished),
    });
  }

  override async snapshotVm(
    vmId: string,
    snapshotId: string,
    options?: OperationOptions,
  ): Promise<SnapshotView> {
    this.#assertOpen();
    parseVmId(vmId);
    parseSnapshotId(snapshotId);
    const { memorySnapshot, diskSnapshot } = this.capabilities;
    this.#require(memorySnapshot || diskSnapshot, 'snapshotVm');
    return this.#run('snapshotVm', options, {
      lanes: [vmId],
      args: [vmId, snapshotId],
      execute: (job) => this.#withVm(vmId, (vm) => snapshotVm(this.#core, vm, snapshotId, job)),
      replay: (finished) => this.#replaySnapshot(finished),
    });
  }

  override async deleteSnapshot(snapshot: SnapshotRef, options?: OperationOptions): Promise<void> {
    this.#assertOpen();
    const ref = parseSnapshotRef(snapshot);
    return this.#run('deleteSnapshot', options, {
      lanes: [`snapshot ${JSON.stringify(ref)}`],
      args: [ref],
      execute: (job) => deleteSnapshot(this.#core, ref, job),
      replay: () => Promise.resolve(),
    });
  }

  override async verifySnapshot(snapshot: SnapshotRef, options?: OperationOptions): Promise<SnapshotView> {
    this.#assertOpen();
    const ref = parseSnapshotRef(snapshot);
    return this.#run('verifySnapshot', options, {
      lanes: [`snapshot ${JSON.stringify(ref)}`],
      args: [ref],
      execute: (job) => verifySnapshot(this.#core, ref, job),
      replay: async () => snapshotView(requireSnapshot(this.#core, ref)),
    });
  }

  override async listVms(): Promise<readonly VmView[]> {
    this.#assertOpen();
    return this.#core.fleet.sorted().map((vm) => this.#core.view(vm));
  }

  override async getVm(vmId: string): Promise<VmView | undefined> {
    this.#assertOpen();
    const vm = this.#core.fleet.get(parseVmId(vmId));
    return vm === undefined ? undefined : this.#core.view(vm);
  }

  override async listSnapshots(vmId: string): Promise<readonly SnapshotView[] | undefined> {
    return (await this.getVm(vmId))?.snapshots;
  }

  override async describeSnapshot(snapshot: SnapshotRef): Promise<SnapshotView | undefined> {
    this.#assertOpen();
    const manifest = findSnapshot(this.#core, parseSnapshotRef(snapshot));
    return manifest === undefined ? undefined : snapshotView(manifest);
  }

  override async metricsVm(vmId: string, options?: MetricsOptions): Promise<VmMetrics | undefined> {
    this.#assertOpen();
    const vm = this.#core.fleet.get(parseVmId(vmId));
    const { signal } = parseMetricsOptions(options);
    if (vm === undefined) return undefined;
    this.#require(this.capabilities.metrics, 'metricsVm');
    return metricsOf(this.#core, vm, signal);
  }

  override async listJobs(filter: JobFilter = {}): Promise<readonly JobView[]> {
    this.#assertOpen();
    const { vmId } = parseJobFilter(filter);
    return this.#core.book.list(vmId);
  }

  override async getJob(jobId: string): Promise<JobView | undefined> {
    this.#assertOpen();
    return this.#core.book.view(jobId);
  }

  override async cancelJob(jobId: string): Promise<JobView> {
    this.#assertOpen();
    const view = await this.#runner.cancel(jobId);
    if (view !== undefined) return view;
    throw new VmRuntimeError('MICROVM_JOB_NOT_FOUND', `no job "${jobId}"`, { details: { jobId } });
  }

  override async probe(): Promise<HostReport> {
    this.#assertOpen();
    return this.#core.driver.probe();
  }

  override events(options?: EventsOptions): AsyncIterable<VmEvent> {
    this.#assertOpen();
    return this.#hub.read(parseEventsOptions(options));
  }

  override async guest(vmId: string): Promise<Guest> {
    this.#assertOpen();
    const vm = this.#core.fleet.require(parseVmId(vmId));
    this.#require(this.capabilities.guestAgent && vm.record.spec.agent === 'required', 'guest');
    const { state } = vm.record;
    if (state !== 'running') {
      throw new VmRuntimeError(
        'MICROVM_INVALID_TRANSITION',
        `guest "${vmId}": it is ${state}, must be running`,
        {
          details: { vmId, verb: 'guest', expected: ['running'], actual: state },
        },
      );
    }
    return this.#core.driver.guest(this.#core.driverVm(vm));
  }

  override async *consoleVm(vmId: string, options: ConsoleOptions = {}): AsyncIterable<Buffer> {
    this.#assertOpen();
    const vm = this.#core.fleet.require(parseVmId(vmId));
    this.#require(this.capabilities.console, 'consoleVm');
    const parsed = parseConsoleOptions(options);
    // A destroyed VM has no console any more, and nothing to follow.
    if (vm.record.state === 'destroyed') return;
    yield* this.#core.driver.console(this.#core.driverVm(vm), parsed);
  }

  override close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** The driver's word that a guest ended by itself: true in the view from now on, cleared away by a job. */
  onEnded(instanceId: string, ending: VmEnding): void {
    const vm = this.#core.fleet.byInstance(instanceId);
    if (vm === undefined || vm.record.state === 'destroyed') return;
    vm.unhandledEnding = ending;
    if (vm.record.operation === undefined) this.#observe(vm);
  }

  #observe(vm: Vm): void {
    const ending = vm.unhandledEnding;
    if (ending === undefined) return;
    const { vmId, state, spec } = vm.record;
    const restarts = ending.reason === 'reboot' && spec.onGuestReboot === 'restart';
    if (!restarts) {
      vm.record = this.#core.patched(vm.record, endedPatch(ending));
      this.#core.announce(state, vm.record);
    }
    const execute = async (job: Job): Promise<unknown> => {
      // Another job of this VM may have dealt with it, or it may be gone or renamed by now: the VM is the same one.
      if (vm.unhandledEnding !== undefined) await observeVm(this.#core, vm, job);
      return undefined;
    };
    const request = {
      kind: 'observeVm',
      vmId,
      lanes: [vmId],
      request: '',
      execute,
      replay: () => Promise.resolve(undefined),
    } as const;
    void this.#runner.run(request, {}).catch(() => undefined); // its job says how it failed
  }

  #onVm(
    kind: JobKind,
    vmId: string,
    options: OperationOptions | undefined,
    verb: (core: Core, vm: Vm, job: Job) => Promise<VmView>,
  ): Promise<VmView> {
    this.#assertOpen();
    parseVmId(vmId);
    if (kind === 'pauseVm' || kind === 'resumeVm') this.#require(this.capabilities.pause, kind);
    return this.#run(kind, options, {
      lanes: [vmId],
      args: [vmId],
      execute: (job) => this.#withVm(vmId, (vm) => verb(this.#core, vm, job)),
      replay: (finished) => this.#replayVm(finished),
    });
  }

  async #withVm<T>(vmId: string, verb: (vm: Vm) => Promise<T>): Promise<T> {
    const vm = this.#core.fleet.require(vmId);
    await this.#core.absorbEnding(vm);
    try {
      return await verb(vm);
    } finally {
      if (vm.record.operation === undefined) this.#observe(vm);
    }
  }

  #run<T>(kind: JobKind, options: OperationOptions | undefined, work: Work<T>): Promise<T> {
    const { lanes, args, execute, replay } = work;
    const request = createHash('sha256').update(canonicalJson(args)).digest('base64url');
    const vmId = kind === 'deleteSnapshot' || kind === 'verifySnapshot' ? undefined : lanes[0];
    const named = vmId === undefined ? {} : { vmId };
    return this.#runner.run(
      { kind, ...named, lanes, request, execute, replay },
      parseOperationOptions(options),
    );
  }

  async #replayVm({ vmId = '', result }: FinishedJob): Promise<VmView> {
    const vm = this.#core.fleet.byInstance(result?.instanceId ?? '');
    return this.#core.view(vm ?? this.#core.fleet.require(vmId));
  }

  async #replaySnapshot({ result }: FinishedJob): Promise<SnapshotView> {
    const snapshotUid = result?.snapshotUid ?? '';
    const manifest = this.#core.catalogue.get(snapshotUid);
    if (manifest === undefined) throw snapshotNotFound({ snapshotUid });
    return snapshotView(manifest);
  }

  #require(isThere: boolean, feature: string): void {
    if (!isThere) throw unsupported(`${feature} by the driver "${this.#core.driver.name}"`);
  }

  #assertOpen(): void {
    if (this.#closing === undefined) return;
    throw new VmRuntimeError('MICROVM_CLOSED', 'the runtime is closed', { details: { what: 'runtime' } });
  }

  async #close(): Promise<void> {
    const { fleet, driver, store } = this.#core;
    await this.#runner.idle();
    const doomed = [...fleet.all()].filter(
      ({ record }) => record.spec.onOwnerDeath === 'destroy' && record.state !== 'destroyed',
    );
    const destroyed = await Promise.allSettled(doomed.map((vm) => destroyUnwatched(this.#core, vm)));
    this.#hub.close();
    await driver.close();
    await store.close();
    await this.#onClose?.();
    const failed = destroyed
      .filter((result) => result.status === 'rejected')
      .map((result) => result.reason as Error);
    if (failed.length > 0)
      throw new AggregateError(failed, `close: ${failed.length} VMs could not be destroyed`);
  }
}

function parseSnapshotRef(ref: SnapshotRef, path = 'snapshot'): SnapshotRef {
  if (typeof ref !== 'object' || ref === null)
    throw invalidArgument(path, '{ vmId, snapshotId } or { snapshotUid }');
  if ('snapshotUid' in ref) return { snapshotUid: parseSnapshotUid(ref.snapshotUid, `${path}.snapshotUid`) };
  return {
    vmId: parseVmId(ref.vmId, `${path}.vmId`),
    snapshotId: parseSnapshotId(ref.snapshotId, `${path}.snapshotId`),
  };
}
