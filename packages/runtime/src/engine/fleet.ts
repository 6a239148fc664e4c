import { deepFreeze } from '../contract/deep-freeze.js';
import { invalidArgument, VmRuntimeError } from '../contract/errors.js';
import { TRANSITIONS } from '../contract/states.js';
import type { VmVerb } from '../contract/verbs.js';
import type { VmEnding, VmView } from '../contract/views.js';
import type { Content } from '../ports/content.js';
import type { DriverVm } from '../ports/driver.js';
import { canonicalJson } from './canonical-json.js';
import { drivenSpec } from './driven-spec.js';
import { ToldSettings } from './told-settings.js';
import { snapshotView } from './manifest.js';
import type { VmRecord } from './record.js';
import type { SnapshotCatalogue } from './snapshot-catalogue.js';
import type { StateStore } from './state-store.js';

/** A VM that the engine holds: its record as last written or, for an ending just seen, about to be. */
export interface Vm {
  record: VmRecord;
  /** The driver told of an end that no job has dealt with yet. */
  unhandledEnding: VmEnding | undefined;
  /** What the guest's agent was told, and what it must still be told. */
  readonly told: ToldSettings;
}

/** All VMs, by the caller's id and by our own. */
export class Fleet {
  readonly #byId = new Map<string, Vm>();
  readonly #byInstance = new Map<string, Vm>();

  get(vmId: string): Vm | undefined {
    return this.#byId.get(vmId);
  }

  byInstance(instanceId: string): Vm | undefined {
    return this.#byInstance.get(instanceId);
  }

  /** Errors: VM_NOT_FOUND. */
  require(vmId: string): Vm {
    const vm = this.#byId.get(vmId);
    if (vm === undefined) throw vmNotFound(vmId);
    return vm;
  }

  /** Errors: VM_NOT_FOUND, which has nothing but the instance's id to name it by. */
  requireInstance(instanceId: string): Vm {
    const vm = this.#byInstance.get(instanceId);
    if (vm === undefined) throw vmNotFound(instanceId);
    return vm;
  }

  all(): Iterable<Vm> {
    return this.#byInstance.values();
  }

  /** Sorted by id. */
  sorted(): Vm[] {
    const ids = [...this.#byId.keys()].sort();
    return ids.map((vmId) => this.require(vmId));
  }

  add(record: VmRecord): Vm {
    const vm: Vm = { record, unhandledEnding: undefined, told: new ToldSettings() };
    this.#byId.set(record.vmId, vm);
    this.#byInstance.set(record.instanceId, vm);
    return vm;
  }

  remove(vm: Vm): void {
    const { vmId, instanceId } = vm.record;
    if (this.#byId.get(vmId) === vm) this.#byId.delete(vmId);
    this.#byInstance.delete(instanceId);
  }

  /** Files a VM, whose record has its new id, under that. */
  rename(vm: Vm, oldVmId: string): void {
    if (this.#byId.get(oldVmId) === vm) this.#byId.delete(oldVmId);
    this.#byId.set(vm.record.vmId, vm);
  }
}

function vmNotFound(vmId: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_VM_NOT_FOUND', `no VM "${vmId}"`, { details: { vmId } });
}

/** Refuses a verb that the table does not allow in the VM's state. */
export function guard(vm: Vm, verb: VmVerb): void {
  const { vmId, state } = vm.record;
  const { from } = TRANSITIONS[verb];
  if (from.includes(state)) return;
  throw new VmRuntimeError(
    'MICROVM_INVALID_TRANSITION',
    `${verb} "${vmId}": it is ${state}, must be ${from.join(' or ')}`,
    { details: { vmId, verb, expected: from, actual: state } },
  );
}

/** Refuses an id that a VM has; the id of a destroyed VM is free. */
export function guardFree(fleet: Fleet, vmId: string): void {
  const vm = fleet.get(vmId);
  if (vm === undefined || vm.record.state === 'destroyed') return;
  throw new VmRuntimeError(
    'MICROVM_VM_ALREADY_EXISTS',
    `"${vmId}" is in use: that VM is ${vm.record.state}`,
    {
      details: { vmId },
    },
  );
}

/**
 * The VM as its driver sees it. `vmId` is read anew at each access, because a driver keeps this object for
 * messages and VMs are renamed.
 */
export function driverVm(vm: Vm, store: StateStore, content: Content | undefined): DriverVm {
  const { instanceId, plan, vmm } = vm.record;
  const directory = store.vmDirectory(instanceId);
  // The plan has the source of the root drive; from here on the VM has its own.
  const spec = drivenSpec(vm.record, content, directory ?? '');
  return {
    instanceId,
    get vmId() {
      return vm.record.vmId;
    },
    spec,
    plan,
    vmm,
    directory,
    get settings() {
      return vm.told.pending(vm.record.spec);
    },
  };
}

export function vmView({ record, told }: Vm, catalogue: SnapshotCatalogue): VmView {
  const { vmId, instanceId, state, spec, image, createdAt, changedAt, operation } = record;
  return {
    vmId,
    instanceId,
    state,
    ...(operation === undefined
      ? {}
      : { operation: { jobId: operation.jobId, kind: operation.kind, startedAt: operation.startedAt } }),
    spec: deepFreeze(spec),
    ...(image === undefined ? {} : { image: { name: spec.image ?? image.digest, digest: image.digest } }),
    createdAt,
    changedAt,
    secrets: told.secrets.views(record.secrets ?? []),
    snapshots: catalogue.ofInstance(instanceId).map(snapshotView),
    ...pick(record, ['restoredFrom', 'ending', 'stop', 'cleanup', 'vmm']),
  };
}

type Defined<T, K extends keyof T> = { [P in K]?: Exclude<T[P], undefined> };

function pick<T, K extends keyof T>(source: T, keys: readonly K[]): Defined<T, K> {
  return Object.fromEntries(
    keys.filter((key) => source[key] !== undefined).map((key) => [key, deepFreeze(source[key])]),
  ) as Defined<T, K>;
}

/** Fields of a spec that contradict the snapshot it is to be restored from are refused, never dropped. */
export function refuseContradiction(path: string, given: unknown, captured: unknown): void {
  if (canonicalJson(given) === canonicalJson(captured)) return;
  throw invalidArgument(path, `what the snapshot holds: ${JSON.stringify(captured) ?? 'nothing'}`);
}
