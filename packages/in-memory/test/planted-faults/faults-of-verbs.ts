import { isVmRuntimeError, VmRuntimeError, type VmRuntime, type VmSpec } from '@microvm/runtime';
import { creating, inOpening, inRuntime, isRestore, without, type PlantedFault } from './faulty-runtime.js';

const STATES = 'states and verbs';

async function stateOf(good: VmRuntime, vmId: string): Promise<string | undefined> {
  return (await good.getVm(vmId))?.state;
}

const DATA = 'calls as data';

const DATA_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'a call as data is done by a verb beside the one it names',
    [DATA, 'a VM lives by calls that were JSON, and their answers are JSON'],
    (good) => ({
      async dispatch(call) {
        const answer = await good.dispatch(call);
        if (call.verb === 'startVm') await good.stopVm((call.args as { vmId: string }).vmId);
        return answer;
      },
    }),
  ),
  inRuntime(
    "the runtime's own jobs can be called",
    [DATA, '"rebootVm" is no verb that can be called'],
    (good) => ({
      dispatch: (call) =>
        (call.verb as string) === 'rebootVm' ? Promise.resolve(undefined as never) : good.dispatch(call),
    }),
  ),
  inRuntime(
    'an argument that nobody knows is dropped',
    [DATA, 'an argument that the verb does not take is refused by its name'],
    (good) => ({
      dispatch(call) {
        const { vmID: _dropped, ...args } = call.args as Record<string, unknown>;
        return good.dispatch({ ...call, args: args as typeof call.args });
      },
    }),
  ),
];

const STATE_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'stopVm is accepted in every state',
    [STATES, 'a VM that is created > stopVm is refused and leaves it created'],
    (good) => ({
      async stopVm(vmId, options) {
        const view = await good.getVm(vmId);
        return view?.state === 'created' ? view : good.stopVm(vmId, options);
      },
    }),
  ),
  inRuntime(
    'a verb that is refused changes the state',
    [STATES, 'a VM that is stopped > pauseVm is refused and leaves it stopped'],
    (good) => ({
      pauseVm: (vmId, options) =>
        good.pauseVm(vmId, options).catch(async (error: unknown) => {
          if ((await stateOf(good, vmId)) === 'stopped') await good.destroyVm(vmId);
          throw error;
        }),
    }),
  ),
  inRuntime(
    'a verb on an unknown id is taken for one in the wrong state',
    [STATES, 'an id that is unknown > destroyVm answers that there is no such VM'],
    (good) => ({
      destroyVm: (vmId, options) =>
        good.destroyVm(vmId, options).catch((error: unknown) => {
          if (!isVmRuntimeError(error, 'MICROVM_VM_NOT_FOUND')) throw error;
          const details = { vmId, verb: 'destroyVm', expected: [], actual: 'unknown' };
          throw new VmRuntimeError('MICROVM_INVALID_TRANSITION', 'unknown', { details });
        }),
    }),
  ),
  inRuntime(
    'a refusal does not say which states would be right',
    [STATES, 'a VM that is running > resumeVm is refused and leaves it running'],
    (good) => ({
      resumeVm: (vmId, options) =>
        good.resumeVm(vmId, options).catch((error: unknown) => {
          if (!isVmRuntimeError(error, 'MICROVM_INVALID_TRANSITION')) throw error;
          const details = { ...error.details, expected: [] };
          throw new VmRuntimeError('MICROVM_INVALID_TRANSITION', error.message, { details });
        }),
    }),
  ),
  inRuntime(
    'resumeVm leaves the VM paused',
    [STATES, 'a VM that is paused > resumeVm makes it running'],
    (good) => ({
      async resumeVm(vmId, options) {
        await good.resumeVm(vmId, options);
        return good.pauseVm(vmId);
      },
    }),
  ),
];

const ARGUMENT_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'ids are sanitised',
    ['ids', 'an id with a slash is refused by every method that takes an id'],
    (good) =>
      creating((vmId, spec, options) =>
        good.createVmWithSpec(String(vmId).replaceAll('/', '_'), spec, options),
      ),
  ),
  inRuntime('ids are lower-cased', ['ids', 'ids that differ in case only are two'], (good) =>
    creating((vmId, spec, options) => good.createVmWithSpec(String(vmId).toLowerCase(), spec, options)),
  ),
  inRuntime('names of built-in properties are refused', ['ids', '"__proto__" names a VM, as it is'], (good) =>
    creating((vmId, spec, options) => good.createVmWithSpec(vmId in {} ? '' : vmId, spec, options)),
  ),
  inRuntime(
    'unknown keys of a spec are dropped in silence',
    ['specs', 'an unknown key is refused with the nearest known one: memory in another unit'],
    (good) =>
      creating((vmId, spec, options) =>
        good.createVmWithSpec(vmId, without(Object(spec) as { memSizeMb?: number }, 'memSizeMb'), options),
      ),
  ),
  inRuntime(
    'an impossible size is made to fit',
    ['specs', 'a wrong value is refused before any effect: 33 vCPUs'],
    (good) =>
      creating((vmId, spec, options) =>
        good.createVmWithSpec(vmId, spec?.vcpuCount === 33 ? { ...spec, vcpuCount: 32 } : spec, options),
      ),
  ),
  inOpening(
    "the runtime's defaults are ignored",
    ['specs', "the runtime's defaults apply to what a spec leaves out"],
    (good, options) => good.open(without(options, 'defaults')),
  ),
  inRuntime(
    'options are not checked',
    ['options', 'every verb refuses an unknown key, before it looks for the VM'],
    (good) => ({
      startVm: (vmId, options) => good.startVm(vmId, options && 'timeout' in options ? {} : options),
    }),
  ),
  inRuntime(
    'a name that exists comes before the wrong state',
    ['order of checks', 'the wrong state comes before an id that is taken'],
    (good) => ({
      async renameVm(vmId, newVmId, options) {
        if (await good.getVm(newVmId)) {
          const details = { vmId: newVmId };
          throw new VmRuntimeError('MICROVM_VM_ALREADY_EXISTS', 'taken', { details });
        }
        return good.renameVm(vmId, newVmId, options);
      },
    }),
  ),
  inRuntime(
    'a VM that is not there comes before a wrong argument',
    ['order of checks', 'a wrong snapshot id comes before a VM that is not there'],
    (good) => ({
      async snapshotVm(vmId, snapshotId, options) {
        if ((await good.getVm(vmId)) === undefined) await good.startVm(vmId);
        return good.snapshotVm(vmId, snapshotId, options);
      },
    }),
  ),
];

const SNAPSHOT_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    "a VM's snapshots are deleted with it",
    ['snapshots', 'snapshots outlive their VM: by its tombstone, and by uid when that is forgotten'],
    (good) => ({
      async destroyVm(vmId, options) {
        const snapshots = (await good.getVm(vmId))?.snapshots ?? [];
        const view = await good.destroyVm(vmId, options);
        for (const { snapshotUid, snapshotId } of snapshots) {
          if (snapshotId !== 'golden') await good.deleteSnapshot({ snapshotUid });
        }
        return view;
      },
    }),
  ),
  inRuntime(
    'a snapshot of the same name is replaced',
    ['snapshots', 'a name that the VM has given is refused, and the snapshot of that name stays'],
    (good) => ({
      async snapshotVm(vmId, snapshotId, options) {
        const old = await good.describeSnapshot({ vmId, snapshotId });
        if (old !== undefined) await good.deleteSnapshot({ snapshotUid: old.snapshotUid });
        return good.snapshotVm(vmId, snapshotId, options);
      },
    }),
  ),
  inRuntime(
    'snapshots are listed newest first',
    ['snapshots', 'snapshots are listed in the order they were taken, in the view too'],
    (good) => ({
      listSnapshots: (async (...of: [vmId: string]) =>
        (await good.listSnapshots(...of))?.toReversed()) as VmRuntime['listSnapshots'],
    }),
  ),
  inRuntime(
    'the guest is left paused by a snapshot',
    ['snapshots', 'the guest goes on after a snapshot'],
    (good) => ({
      async snapshotVm(vmId, snapshotId, options) {
        const snapshot = await good.snapshotVm(vmId, snapshotId, options);
        if (snapshotId === 'second') await good.pauseVm(vmId);
        return snapshot;
      },
    }),
  ),
  inRuntime(
    'a snapshot in use can be deleted',
    ['snapshots', 'a snapshot cannot be deleted while a VM restored from it lives'],
    (good) => ({
      deleteSnapshot: (ref, options) =>
        good.deleteSnapshot(ref, options).catch((error: unknown) => {
          if (!isVmRuntimeError(error, 'MICROVM_SNAPSHOT_IN_USE')) throw error;
        }),
    }),
  ),
  inRuntime(
    "a name resolves to a snapshot of the id's former VM",
    ['snapshots', "a name resolves through the id's current VM only"],
    (good) => {
      const known = new Map<string, string>();
      return {
        async snapshotVm(vmId, snapshotId, options) {
          const snapshot = await good.snapshotVm(vmId, snapshotId, options);
          known.set(`${vmId}/${snapshotId}`, snapshot.snapshotUid);
          return snapshot;
        },
        async describeSnapshot(ref) {
          if ('snapshotUid' in ref) return good.describeSnapshot(ref);
          const snapshotUid = known.get(`${ref.vmId}/${ref.snapshotId}`);
          return snapshotUid === undefined ? undefined : good.describeSnapshot({ snapshotUid });
        },
      };
    },
  ),
  inRuntime(
    'a spec that contradicts the snapshot is ignored',
    ['restore', 'a spec that contradicts the snapshot is refused: memSizeMib'],
    (good) => ({
      createVmWithSpec: (vmId, spec, options) =>
        good.createVmWithSpec(vmId, isRestore(spec) ? without(spec, 'memSizeMib') : spec, options),
    }),
  ),
  inRuntime(
    'resumeImmediately is ignored',
    ['restore', 'with resumeImmediately: false it gives a paused VM'],
    (good) => ({
      createVmWithSpec: (vmId, spec, options) =>
        good.createVmWithSpec(vmId, without(spec, 'resumeImmediately'), options),
    }),
  ),
  inRuntime(
    'a restored VM is booted instead of going on',
    ['restore', "a restored guest goes on from the snapshot's memory"],
    (good) => ({
      async createVmWithSpec(vmId, spec, options) {
        const view = await good.createVmWithSpec(vmId, spec, options);
        if (!isRestore(spec) || view.state !== 'running') return view;
        await good.stopVm(vmId);
        return good.startVm(vmId);
      },
    }),
  ),
  inRuntime(
    'where a VM was restored from is not shown',
    ['restore', 'a memory snapshot gives a running VM'],
    (good) => ({
      createVmWithSpec: async (vmId, spec: VmSpec, options) =>
        without(await good.createVmWithSpec(vmId, spec, options), 'restoredFrom'),
    }),
  ),
];

export const FAULTS_OF_VERBS = [...DATA_FAULTS, ...STATE_FAULTS, ...ARGUMENT_FAULTS, ...SNAPSHOT_FAULTS];
