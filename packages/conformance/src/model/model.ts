import {
  changedEnvironment,
  isLive,
  TRANSITIONS,
  type Environment,
  type EnvironmentUpdate,
  type ErrorCode,
  type VmState,
  type VmVerb,
} from '@microvm/runtime';
import type { GuestEnding } from '../factory.js';

/**
 * Names a snapshot: through a VM, or as the n-th snapshot that was ever taken; -1 for a snapshot that never
 * was.
 */
export type ModelRef = { readonly vmId: string; readonly snapshotId: string } | { readonly taken: number };

/** One call of the contract, as data. */
export type Operation =
  | { readonly verb: 'createVm'; readonly vmId: string }
  | {
      readonly verb: Exclude<VmVerb, 'snapshotVm' | 'renameVm' | 'setEnv' | 'setSecret' | 'deleteSecret'>;
      readonly vmId: string;
    }
  | {
      readonly verb: 'restoreVm';
      readonly vmId: string;
      readonly from: ModelRef;
      readonly resumeImmediately: boolean;
    }
  | { readonly verb: 'snapshotVm'; readonly vmId: string; readonly snapshotId: string }
  | { readonly verb: 'renameVm'; readonly vmId: string; readonly newVmId: string }
  | { readonly verb: 'setEnv'; readonly vmId: string; readonly env: EnvironmentUpdate }
  | { readonly verb: 'setSecret'; readonly vmId: string; readonly name: string; readonly value: string }
  | { readonly verb: 'deleteSecret'; readonly vmId: string; readonly name: string }
  | { readonly verb: 'deleteSnapshot'; readonly ref: ModelRef }
  /** Looks at the environment of a command in the guest, and at the secrets. */
  | { readonly verb: 'look'; readonly vmId: string }
  /** Counts one up in the guest's memory. */
  | { readonly verb: 'count'; readonly vmId: string };

/** The expected end of a call; `snapshot` is the number of the snapshot that the call took. */
export type Expected =
  | { readonly code: ErrorCode }
  | {
      readonly vmId?: string;
      readonly state?: VmState;
      readonly kind?: string;
      readonly snapshot?: number;
      readonly count?: number;
      readonly env?: Environment;
      readonly secrets?: Readonly<Record<string, string>>;
    };

interface ModelVm {
  readonly instance: number;
  state: VmState;
  restoredFrom?: number | undefined;
  /** The snapshot whose memory this life of the guest maps. */
  memoryFrom?: number | undefined;
  ending?: string | undefined;
  stop?: 'graceful' | undefined;
  count: number;
  env: Environment;
  /** Undefined values are missing: known by name alone. */
  secrets: Readonly<Record<string, string | undefined>>;
}

interface ModelSnapshot {
  readonly instance: number;
  readonly snapshotId: string;
  readonly kind: 'memory' | 'disk';
  readonly count: number;
  readonly env: Environment;
  isDeleted: boolean;
  /** The snapshot's real name, once that is known. */
  uid?: string;
}

interface ModelState {
  vms: Record<string, ModelVm>;
  snapshots: ModelSnapshot[];
  instances: number;
}

/** The variables that `setEnv` changes. */
export const MODEL_VARIABLES = ['V', 'W'] as const;
/** The secrets that `setSecret` and `deleteSecret` name. */
export const MODEL_SECRETS = ['s', 't'] as const;

const ID = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

const ENDINGS: Readonly<Record<Exclude<GuestEnding, 'reboot'>, Partial<ModelVm>>> = {
  'power-off': { state: 'stopped', ending: 'power-off', stop: 'graceful' },
  panic: { state: 'crashed', ending: 'panic' },
  'kill-vmm': { state: 'crashed', ending: 'vmm-exit' },
};

/** The values of a VM's secrets end with its guest's life. */
function forgetSecrets(vm: ModelVm): void {
  vm.secrets = Object.fromEntries(Object.keys(vm.secrets).map((name) => [name, undefined]));
}

/** The place where a call takes its turn. Calls that share a place are done in their order. */
export function lanesOf(operation: Operation): readonly string[] {
  if (operation.verb === 'deleteSnapshot') return [];
  return operation.verb === 'renameVm' ? [operation.vmId, operation.newVmId] : [operation.vmId];
}

function idsOf(operation: Operation): readonly string[] {
  const ref = 'ref' in operation ? operation.ref : 'from' in operation ? operation.from : undefined;
  return [...lanesOf(operation), ...(ref !== undefined && 'vmId' in ref ? [ref.vmId] : [])];
}

/**
 * A model of any runtime, without a clock, a disk or a guest: the state table, and the rules of ids and
 * snapshots.
 */
export class LifecycleModel {
  #state: ModelState;

  constructor(state: ModelState = { vms: {}, snapshots: [], instances: 0 }) {
    this.#state = state;
  }

  clone(): LifecycleModel {
    return new LifecycleModel(structuredClone(this.#state));
  }

  /** Takes over what another model has become. */
  become(other: LifecycleModel): void {
    this.#state = other.#state;
  }

  /** How many snapshots were ever taken. */
  get taken(): number {
    return this.#state.snapshots.length;
  }

  stateOf(vmId: string): VmState | undefined {
    return this.#state.vms[vmId]?.state;
  }

  uidOf(taken: number): string | undefined {
    return this.#state.snapshots[taken]?.uid;
  }

  name(taken: number, uid: string): void {
    const snapshot = this.#state.snapshots[taken];
    if (snapshot !== undefined) snapshot.uid = uid;
  }

  /** The number of the snapshot that a reference finds. */
  find(ref: ModelRef): number | undefined {
    const { vms, snapshots } = this.#state;
    if ('taken' in ref) return snapshots[ref.taken]?.isDeleted === false ? ref.taken : undefined;
    const instance = vms[ref.vmId]?.instance;
    const index = snapshots.findIndex(
      (one) => one.instance === instance && one.snapshotId === ref.snapshotId && !one.isDeleted,
    );
    return index < 0 ? undefined : index;
  }

  /** Does what the call should do; a refused one changes nothing. */
  apply(operation: Operation): Expected {
    if (idsOf(operation).some((id) => !ID.test(id))) return { code: 'MICROVM_INVALID_ARGUMENT' };
    switch (operation.verb) {
      case 'createVm':
        return this.#make(operation.vmId, { state: 'created', count: 0, env: {}, secrets: {} });
      case 'restoreVm':
        return this.#restore(operation);
      case 'deleteSnapshot':
        return this.#delete(operation.ref);
      case 'count':
      case 'look':
        return this.#inGuest(operation);
      case 'startVm':
      case 'stopVm':
      case 'pauseVm':
      case 'resumeVm':
      case 'snapshotVm':
      case 'renameVm':
      case 'setEnv':
      case 'setSecret':
      case 'deleteSecret':
      case 'destroyVm':
      case 'forgetVm':
        return this.#onVm(operation);
    }
  }

  /** The guest or its VMM ends by itself. */
  end(vmId: string, how: GuestEnding): void {
    const vm = this.#state.vms[vmId];
    if (vm === undefined) return;
    vm.memoryFrom = undefined;
    vm.count = 0;
    if (how !== 'reboot') forgetSecrets(vm);
    if (how !== 'reboot') Object.assign(vm, { ending: undefined, stop: undefined, ...ENDINGS[how] });
  }

  /** Every VM as its view should be, sorted by id. */
  views(): readonly object[] {
    const { vms, snapshots } = this.#state;
    return Object.keys(vms)
      .sort()
      .map((vmId) => {
        const { instance, state, restoredFrom, ending, stop, env, secrets } = vms[vmId] as ModelVm;
        const own = snapshots.filter((one) => one.instance === instance && !one.isDeleted);
        return {
          vmId,
          state,
          snapshots: own.map(({ snapshotId, kind, uid }) => ({ snapshotId, kind, uid })),
          restoredFrom: restoredFrom === undefined ? undefined : snapshots[restoredFrom]?.uid,
          ending,
          stop,
          secrets: Object.entries(secrets).map(([name, value]) => ({
            name,
            state: value === undefined ? 'missing' : 'present',
          })),
          env: Object.fromEntries(Object.entries(env).sort()),
        };
      });
  }

  /** Uids of the snapshots that should be there. */
  uids(): readonly (string | undefined)[] {
    return this.#state.snapshots.filter(({ isDeleted }) => !isDeleted).map(({ uid }) => uid);
  }

  #make(vmId: string, vm: Omit<ModelVm, 'instance'>): Expected {
    const state = this.stateOf(vmId);
    if (state !== undefined && state !== 'destroyed') return { code: 'MICROVM_VM_ALREADY_EXISTS' };
    this.#state.vms[vmId] = { ...vm, instance: this.#state.instances++ };
    return { vmId, state: vm.state };
  }

  #restore({ vmId, from, resumeImmediately }: Extract<Operation, { verb: 'restoreVm' }>): Expected {
    const taken = this.find(from);
    const snapshot = this.#state.snapshots[taken ?? -1];
    if (snapshot === undefined) {
      const refused = this.clone().#make(vmId, { state: 'created', count: 0, env: {}, secrets: {} });
      return 'code' in refused ? refused : { code: 'MICROVM_SNAPSHOT_NOT_FOUND' };
    }
    const hasMemory = snapshot.kind === 'memory';
    const state = !hasMemory ? 'created' : resumeImmediately ? 'running' : 'paused';
    const memoryFrom = hasMemory ? taken : undefined;
    return this.#make(vmId, {
      state,
      restoredFrom: taken,
      memoryFrom,
      count: snapshot.count,
      env: snapshot.env,
      secrets: {},
    });
  }

  #delete(ref: ModelRef): Expected {
    const taken = this.find(ref);
    const snapshot = this.#state.snapshots[taken ?? -1];
    if (snapshot === undefined) return { code: 'MICROVM_SNAPSHOT_NOT_FOUND' };
    const users = Object.values(this.#state.vms).filter((vm) => vm.memoryFrom === taken && isLive(vm.state));
    if (users.length > 0) return { code: 'MICROVM_SNAPSHOT_IN_USE' };
    snapshot.isDeleted = true;
    return {};
  }

  #inGuest({ verb, vmId }: { readonly verb: 'count' | 'look'; readonly vmId: string }): Expected {
    const vm = this.#state.vms[vmId];
    if (vm === undefined) return { code: 'MICROVM_VM_NOT_FOUND' };
    if (vm.state !== 'running') return { code: 'MICROVM_INVALID_TRANSITION' };
    if (verb === 'look') {
      const present = Object.entries(vm.secrets).filter((entry) => entry[1] !== undefined);
      return {
        env: Object.fromEntries(Object.entries(vm.env).sort()),
        secrets: Object.fromEntries(present.sort()) as Record<string, string>,
      };
    }
    vm.count += 1;
    return { count: vm.count };
  }

  #onVm(operation: Extract<Operation, { verb: VmVerb }>): Expected {
    const { verb, vmId } = operation;
    const vm = this.#state.vms[vmId];
    if (vm === undefined) return { code: 'MICROVM_VM_NOT_FOUND' };
    const { from, to } = TRANSITIONS[verb];
    if (!from.includes(vm.state)) return { code: 'MICROVM_INVALID_TRANSITION' };
    if (operation.verb === 'snapshotVm') return this.#snapshot(vm, operation.snapshotId, vmId);
    if (operation.verb === 'setSecret' || operation.verb === 'deleteSecret')
      return this.#changeSecret(vm, operation);
    if (operation.verb === 'setEnv') return this.#setEnv(vm, vmId, operation.env);
    if (operation.verb === 'renameVm') return this.#rename(vm, vmId, operation.newVmId);
    if (to === 'forgotten' || to === 'unchanged') {
      delete this.#state.vms[vmId];
      return {};
    }
    const isBoot = verb === 'startVm' && vm.state !== 'paused';
    if (isBoot && Object.values(vm.secrets).includes(undefined)) return { code: 'MICROVM_SECRETS_MISSING' };
    if (to === 'stopped' || to === 'destroyed') forgetSecrets(vm);
    if (to === 'destroyed') vm.secrets = {};
    const isSameLife = vm.state === 'paused' || to === 'paused';
    const keeps = isLive(to) && isSameLife;
    if (!keeps) Object.assign(vm, { memoryFrom: undefined, count: 0 });
    const ending = verb === 'stopVm' ? { ending: 'shutdown', stop: 'graceful' } : {};
    Object.assign(vm, { ending: undefined, stop: undefined, ...ending, state: to });
    return { vmId, state: to };
  }

  #changeSecret(
    vm: ModelVm,
    operation: Extract<Operation, { verb: 'setSecret' | 'deleteSecret' }>,
  ): Expected {
    const { vmId, name } = operation;
    if (operation.verb === 'setSecret') {
      vm.secrets = { ...vm.secrets, [name]: operation.value };
    } else {
      const { [name]: _gone, ...others } = vm.secrets;
      vm.secrets = others;
    }
    return { vmId, state: vm.state };
  }

  #setEnv(vm: ModelVm, vmId: string, changes: EnvironmentUpdate): Expected {
    vm.env = changedEnvironment(vm.env, changes);
    return { vmId, state: vm.state };
  }

  #snapshot({ instance, state, count, env, secrets }: ModelVm, snapshotId: string, vmId: string): Expected {
    if (this.find({ vmId, snapshotId }) !== undefined) return { code: 'MICROVM_SNAPSHOT_ALREADY_EXISTS' };
    const isHolding = isLive(state) && Object.values(secrets).some((value) => value !== undefined);
    if (isHolding) return { code: 'MICROVM_SECRETS_PRESENT' };
    const kind = isLive(state) ? 'memory' : 'disk';
    const kept = kind === 'memory' ? count : 0;
    this.#state.snapshots.push({ instance, snapshotId, kind, count: kept, env, isDeleted: false });
    return { kind, snapshot: this.taken - 1 };
  }

  #rename(vm: ModelVm, vmId: string, newVmId: string): Expected {
    const taken = this.stateOf(newVmId);
    if (newVmId !== vmId && taken !== undefined && taken !== 'destroyed') {
      return { code: 'MICROVM_VM_ALREADY_EXISTS' };
    }
    delete this.#state.vms[vmId];
    this.#state.vms[newVmId] = vm;
    return { vmId: newVmId, state: vm.state };
  }
}
