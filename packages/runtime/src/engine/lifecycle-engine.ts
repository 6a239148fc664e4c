import type { Capabilities } from '../contract/capabilities.js';
import type { EnvironmentUpdate } from '../contract/environment.js';
import { invalidArgument, unsupported, VmRuntimeError, withoutAgent } from '../contract/errors.js';
import type { VmEvent } from '../contract/events.js';
import type { Guest } from '../contract/guest.js';
import type { HostReport } from '../contract/host-report.js';
import { parseVmId } from '../contract/ids.js';
import type { VmMetrics } from '../contract/metrics.js';
import {
  parseConsoleOptions,
  parseEventsOptions,
  parseJobFilter,
  parseMetricsOptions,
  type ConsoleOptions,
  type EventsOptions,
  type JobFilter,
  type MetricsOptions,
  splitOptions,
  type OperationOptions,
  type SnapshotOptions,
  type StartOptions,
} from '../contract/options.js';
import type { SecretValue } from '../contract/secrets.js';
import { VmRuntime, type RecoveryReport } from '../contract/runtime.js';
import type { VmSpec } from '../contract/spec.js';
import {
  OWN_JOB_KINDS,
  type SnapshotRef,
  type VerbAnswer,
  type VerbCall,
  type VerbName,
} from '../contract/verbs.js';
import type { JobView, SnapshotView, VmView } from '../contract/views.js';
import type { Background } from './background.js';
import { featureOf } from './driver-features.js';
import { viewOf, type EngineContext } from './engine-context.js';
import type { EventHub } from './event-hub.js';
import type { JobRunner } from './job-runner.js';
import { snapshotView } from './manifest.js';
import { metricsOf } from './vm-metrics.js';
import type { VerbRunner } from './verb-runner.js';
import { VERBS } from './verbs.js';
import { destroyUnwatched } from './verbs/destroy.js';
import { findSnapshot, parseSnapshotRef } from './verbs/snapshot-ref.js';

export interface LifecycleEngineParts {
  readonly context: EngineContext;
  readonly runner: JobRunner;
  readonly verbs: VerbRunner;
  readonly hub: EventHub;
  readonly background: Background;
  readonly recovery: RecoveryReport;
  readonly onClose: (() => Promise<void>) | undefined;
}

/**
 * The contract, implemented once for every driver: hands verbs to their jobs, answers queries from the
 * records.
 */
export class LifecycleEngine extends VmRuntime {
  readonly capabilities: Capabilities;
  readonly recovery: RecoveryReport;
  readonly #context: EngineContext;
  readonly #parts: LifecycleEngineParts;
  #closing: Promise<void> | undefined;

  constructor(parts: LifecycleEngineParts) {
    super();
    this.#context = parts.context;
    this.#parts = parts;
    this.recovery = parts.recovery;
    this.capabilities = parts.context.capabilities;
  }

  override createVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#run('createVm', { vmId, spec: {} }, options);
  }

  override createVmWithSpec(vmId: string, spec: VmSpec, options?: OperationOptions): Promise<VmView> {
    return this.#run('createVm', { vmId, spec }, options);
  }

  override startVm(vmId: string, options?: StartOptions): Promise<VmView> {
    const [{ secrets, secretsOptional }, rest] = splitOptions(options, ['secrets', 'secretsOptional']);
    return this.#run('startVm', { vmId, secrets, secretsOptional }, rest);
  }

  override stopVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#run('stopVm', { vmId }, options);
  }

  override pauseVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#run('pauseVm', { vmId }, options);
  }

  override resumeVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#run('resumeVm', { vmId }, options);
  }

  override destroyVm(vmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#run('destroyVm', { vmId }, options);
  }

  override forgetVm(vmId: string, options?: OperationOptions): Promise<void> {
    return this.#run('forgetVm', { vmId }, options);
  }

  override renameVm(oldVmId: string, newVmId: string, options?: OperationOptions): Promise<VmView> {
    return this.#run('renameVm', { oldVmId, newVmId }, options);
  }

  override snapshotVm(vmId: string, snapshotId: string, options?: SnapshotOptions): Promise<SnapshotView> {
    const [{ allowSecrets }, rest] = splitOptions(options, ['allowSecrets']);
    return this.#run('snapshotVm', { vmId, snapshotId, allowSecrets }, rest);
  }

  override setEnv(vmId: string, env: EnvironmentUpdate, options?: OperationOptions): Promise<VmView> {
    return this.#run('setEnv', { vmId, env }, options);
  }

  override setSecret(
    vmId: string,
    name: string,
    value: SecretValue,
    options?: OperationOptions,
  ): Promise<VmView> {
    return this.#run('setSecret', { vmId, name, value }, options);
  }

  override deleteSecret(vmId: string, name: string, options?: OperationOptions): Promise<VmView> {
    return this.#run('deleteSecret', { vmId, name }, options);
  }

  override deleteSnapshot(snapshot: SnapshotRef, options?: OperationOptions): Promise<void> {
    return this.#run('deleteSnapshot', { snapshot }, options);
  }

  override verifySnapshot(snapshot: SnapshotRef, options?: OperationOptions): Promise<SnapshotView> {
    return this.#run('verifySnapshot', { snapshot }, options);
  }

  override async dispatch<V extends VerbName>(call: VerbCall<V>): Promise<VerbAnswer<V>> {
    this.#assertOpen();
    if (typeof call !== 'object' || (call as unknown) === null) throw invalidArgument('call', 'an object');
    const { verb, args, options } = call;
    const isOwn = OWN_JOB_KINDS.some((kind) => kind === (verb as string));
    if (!Object.hasOwn(VERBS, verb) || isOwn) throw invalidArgument('verb', 'the name of a verb');
    return this.#run(verb, args, options);
  }

  override async listVms(): Promise<readonly VmView[]> {
    this.#assertOpen();
    return this.#context.fleet.sorted().map((vm) => viewOf(this.#context, vm));
  }

  override async getVm(vmId: string): Promise<VmView | undefined> {
    this.#assertOpen();
    const vm = this.#context.fleet.get(parseVmId(vmId));
    return vm === undefined ? undefined : viewOf(this.#context, vm);
  }

  override listSnapshots(): Promise<readonly SnapshotView[]>;
  override listSnapshots(vmId: string): Promise<readonly SnapshotView[] | undefined>;
  override async listSnapshots(...ids: readonly string[]): Promise<readonly SnapshotView[] | undefined> {
    if (ids.length > 0) return (await this.getVm(ids[0] ?? ''))?.snapshots;
    this.#assertOpen();
    return this.#context.catalogue.all().map(snapshotView);
  }

  override async describeSnapshot(snapshot: SnapshotRef): Promise<SnapshotView | undefined> {
    this.#assertOpen();
    const manifest = findSnapshot(this.#context, parseSnapshotRef(snapshot));
    return manifest === undefined ? undefined : snapshotView(manifest);
  }

  override async metricsVm(vmId: string, options?: MetricsOptions): Promise<VmMetrics | undefined> {
    this.#assertOpen();
    const vm = this.#context.fleet.get(parseVmId(vmId));
    const { signal } = parseMetricsOptions(options);
    if (vm === undefined) return undefined;
    this.#require(this.capabilities.metrics, 'metricsVm');
    return metricsOf(this.#context, vm, signal);
  }

  override async listJobs(filter: JobFilter = {}): Promise<readonly JobView[]> {
    this.#assertOpen();
    const { vmId } = parseJobFilter(filter);
    return this.#context.book.list(vmId);
  }

  override async getJob(jobId: string): Promise<JobView | undefined> {
    this.#assertOpen();
    return this.#context.book.view(jobId);
  }

  override async cancelJob(jobId: string): Promise<JobView> {
    this.#assertOpen();
    const view = await this.#parts.runner.cancel(jobId);
    if (view !== undefined) return view;
    throw new VmRuntimeError('MICROVM_JOB_NOT_FOUND', `no job "${jobId}"`, { details: { jobId } });
  }

  override async probe(): Promise<HostReport> {
    this.#assertOpen();
    return this.#context.driver.probe();
  }

  override events(options?: EventsOptions): AsyncIterable<VmEvent> {
    this.#assertOpen();
    return this.#parts.hub.read(parseEventsOptions(options));
  }

  override async guest(vmId: string): Promise<Guest> {
    this.#assertOpen();
    const vm = this.#context.fleet.require(parseVmId(vmId));
    this.#require(this.capabilities.guestAgent, 'guest');
    const { state, spec } = vm.record;
    if (spec.agent === 'none') throw withoutAgent(vmId);
    if (state !== 'running') {
      throw new VmRuntimeError(
        'MICROVM_INVALID_TRANSITION',
        `guest "${vmId}": it is ${state}, must be running`,
        {
          details: { vmId, verb: 'guest', expected: ['running'], actual: state },
        },
      );
    }
    const { calls, driver } = this.#context;
    return featureOf(driver, 'guestAgent').guest(calls.driverVm(vm));
  }

  override async *consoleVm(vmId: string, options: ConsoleOptions = {}): AsyncIterable<Buffer> {
    this.#assertOpen();
    const vm = this.#context.fleet.require(parseVmId(vmId));
    this.#require(this.capabilities.console, 'consoleVm');
    const parsed = parseConsoleOptions(options);
    // A destroyed VM has no console any more, and nothing to follow.
    if (vm.record.state === 'destroyed') return;
    const { calls, driver } = this.#context;
    yield* featureOf(driver, 'console').read(calls.driverVm(vm), parsed);
  }

  override close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #run<V extends VerbName>(
    verb: V,
    args: VerbCall<V>['args'],
    options: OperationOptions | undefined,
  ): Promise<VerbAnswer<V>> {
    this.#assertOpen();
    return this.#parts.verbs.run(verb, args, options);
  }

  #require(isThere: boolean, feature: string): void {
    if (!isThere) throw unsupported(`${feature} by the driver "${this.#context.driver.name}"`);
  }

  #assertOpen(): void {
    if (this.#closing === undefined) return;
    throw new VmRuntimeError('MICROVM_CLOSED', 'the runtime is closed', { details: { what: 'runtime' } });
  }

  async #close(): Promise<void> {
    const { runner, verbs, hub, background, onClose } = this.#parts;
    const { fleet, driver, store } = this.#context;
    await runner.idle();
    verbs.observer.stop();
    // A guest may have ended since: its record is written while the state directory is still ours.
    await runner.idle();
    const doomed = [...fleet.all()].filter(
      ({ record }) => record.spec.onOwnerDeath === 'destroy' && record.state !== 'destroyed',
    );
    const destroyed = await Promise.allSettled(doomed.map((vm) => destroyUnwatched(this.#context, vm)));
    hub.close();
    await driver.close();
    for (const vm of fleet.all()) vm.told.secrets.clear();
    await background.idle();
    await store.close();
    await onClose?.();
    const failed = destroyed
      .filter((result) => result.status === 'rejected')
      .map((result) => result.reason as Error);
    if (failed.length > 0)
      throw new AggregateError(failed, `close: ${failed.length} VMs could not be destroyed`);
  }
}
