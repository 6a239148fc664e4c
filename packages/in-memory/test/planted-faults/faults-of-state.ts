import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  isVmRuntimeError,
  VmRuntimeError,
  type Capabilities,
  type VmRuntime,
  type VmView,
} from '@microvm/runtime';
import { creating, inOpening, inRuntime, viewing, without, type PlantedFault } from './faulty-runtime.js';

const QUERY_FAULTS: readonly PlantedFault[] = [
  inRuntime('listVms is not sorted', ['queries', 'listVms is sorted by id, by code units'], (good) => ({
    listVms: async () => (await good.listVms()).toReversed(),
  })),
  inRuntime(
    'listVms is sorted as people sort',
    ['queries', 'listVms is sorted by id, by code units'],
    (good) => ({
      listVms: async () => (await good.listVms()).toSorted((a, b) => a.vmId.localeCompare(b.vmId)),
    }),
  ),
  inRuntime(
    'getVm of an unknown id is an error',
    ['queries', 'an unknown VM is undefined, not an error'],
    (good) => ({
      async getVm(vmId) {
        const view = await good.getVm(vmId);
        if (view !== undefined) return view;
        throw new VmRuntimeError('MICROVM_VM_NOT_FOUND', `no VM "${vmId}"`, { details: { vmId } });
      },
    }),
  ),
  inRuntime(
    'the operation in progress is not shown',
    ['queries', 'a view shows the operation in progress, and not after it'],
    (good) => viewing(good, (view) => without(view, 'operation')),
  ),
  inRuntime(
    'tombstones are not listed',
    ['queries', 'a destroyed VM is a tombstone in the list until it is forgotten'],
    (good) => ({
      listVms: async () => (await good.listVms()).filter(({ state }) => state !== 'destroyed'),
    }),
  ),
  inRuntime(
    'a caller can change what others see',
    ['queries', 'what a caller does to a view does not reach the runtime'],
    (good) => {
      const views = new Map<string, VmView>();
      return viewing(good, (view) => {
        const known = views.get(view.instanceId) ?? { ...view };
        views.set(view.instanceId, known);
        return known;
      });
    },
  ),
];

const METRICS_FAULTS: readonly PlantedFault[] = [
  inRuntime('an unknown VM has empty metrics', ['metrics', 'an unknown VM has none'], (good) => ({
    metricsVm: async (vmId) =>
      (await good.metricsVm(vmId)) ?? {
        vmId,
        instanceId: '',
        state: 'created',
        vmm: { counters: {}, gauges: {} },
      },
  })),
  inRuntime(
    'counters begin anew with each life',
    ['metrics', 'counters never fall: not by a stop, a start, a new id or a new owner'],
    (good) => {
      const bases = new Map<string, number>();
      const counter = 'console.bytes';
      return {
        async startVm(vmId, options) {
          const view = await good.startVm(vmId, options);
          bases.set(view.instanceId, (await good.metricsVm(vmId))?.vmm.counters[counter] ?? 0);
          return view;
        },
        async metricsVm(vmId) {
          const metrics = await good.metricsVm(vmId);
          if (metrics === undefined) return undefined;
          const base = bases.get(metrics.instanceId) ?? 0;
          const counters = { [counter]: (metrics.vmm.counters[counter] ?? 0) - base };
          return { ...metrics, vmm: { ...metrics.vmm, counters } };
        },
      };
    },
  ),
  inRuntime(
    'a destroyed VM keeps its figures',
    ['metrics', 'of a VM that is destroyed say whose they are, and nothing that it has not'],
    (good) => ({
      async metricsVm(vmId) {
        const metrics = await good.metricsVm(vmId);
        return metrics && { ...metrics, vmm: { counters: { bytes: 1 }, gauges: {} } };
      },
    }),
  ),
];

/** An instanceId that is made from the name, and so used again. */
function madeFromName(view: VmView): VmView {
  return { ...view, instanceId: createHash('sha256').update(view.vmId).digest('hex').slice(0, 32) };
}

const NAME_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    "a rename drops the VM's snapshots",
    ['names', 'snapshots follow the VM to its new id'],
    (good) => ({
      async renameVm(vmId, newVmId, options) {
        const { snapshots } = await good.renameVm(vmId, newVmId, options);
        for (const { snapshotUid } of snapshots) await good.deleteSnapshot({ snapshotUid });
        return (await good.getVm(newVmId)) as VmView;
      },
    }),
  ),
  inRuntime(
    "a destroyed VM's id cannot be used again",
    ['names', "a destroyed VM's id is free: the new VM is another instance and replaces the tombstone"],
    (good) =>
      creating(async (vmId, spec, options) => {
        const details = { vmId };
        if (await good.getVm(vmId))
          throw new VmRuntimeError('MICROVM_VM_ALREADY_EXISTS', 'taken', { details });
        return good.createVmWithSpec(vmId, spec, options);
      }),
  ),
  inRuntime('an instanceId is used again', ['names', 'no instanceId is ever used again'], (good) =>
    creating(async (vmId, spec, options) => madeFromName(await good.createVmWithSpec(vmId, spec, options))),
  ),
  inRuntime('a rename onto itself is refused', ['names', 'onto itself has no effect'], (good) => ({
    async renameVm(vmId, newVmId, options) {
      const details = { vmId };
      if (vmId === newVmId) throw new VmRuntimeError('MICROVM_VM_ALREADY_EXISTS', 'taken', { details });
      return good.renameVm(vmId, newVmId, options);
    },
  })),
  inRuntime(
    'a rename replaces the VM of that id',
    ['names', 'onto an id in use is refused, and both VMs left alone'],
    (good) => ({
      async renameVm(vmId, newVmId, options) {
        const other = vmId === newVmId ? undefined : await good.getVm(newVmId);
        if (other !== undefined && other.state !== 'destroyed') await good.destroyVm(newVmId);
        return good.renameVm(vmId, newVmId, options);
      },
    }),
  ),
];

const ENDING_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'a VM whose VMM died is shown as running',
    ['endings', 'kill-vmm: the VM is crashed, and says why'],
    (good) => viewing(good, (view) => (view.state === 'crashed' ? { ...view, state: 'running' } : view)),
  ),
  inRuntime(
    'a guest that powered itself off is taken for a crash',
    ['endings', 'power-off: the VM is stopped, and says why'],
    (good) =>
      viewing(good, (view) => (view.ending?.reason === 'power-off' ? { ...view, state: 'crashed' } : view)),
  ),
  inRuntime(
    'the policy for reboots is ignored',
    ['endings', 'reboot: the VM is stopped, by its policy'],
    (good) => ({
      createVmWithSpec: (vmId, spec, options) =>
        good.createVmWithSpec(vmId, without(spec, 'onGuestReboot'), options),
    }),
  ),
  inRuntime(
    'a graceful stop is called forced',
    ['endings', 'stopVm lets the guest flush, and says so'],
    (good) => ({
      stopVm: async (vmId, options) => ({ ...(await good.stopVm(vmId, options)), stop: 'forced' }),
    }),
  ),
  inRuntime(
    'a guest can be had of a VM that does not run',
    ['the guest', 'guest() of a VM that is paused is refused'],
    (good) => ({
      async guest(vmId) {
        if ((await good.getVm(vmId))?.state !== 'paused') return good.guest(vmId);
        await good.resumeVm(vmId);
        return good.guest(vmId);
      },
    }),
  ),
];

function lacking(good: VmRuntime, lack: Partial<Capabilities>): { capabilities: Capabilities } {
  return { capabilities: Object.freeze({ ...good.capabilities, ...lack }) };
}

const CAPABILITY_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'what a capability denies is done all the same',
    ['capabilities', 'without pause a call that needs it is refused, and changes nothing'],
    (good) => lacking(good, { pause: false }),
  ),
  inRuntime(
    'what a capability denies is not there at all',
    ['capabilities', 'without rename a call that needs it is refused, and changes nothing'],
    (good) => ({ ...lacking(good, { rename: false }), renameVm: undefined }),
  ),
  inRuntime(
    'a feature that a capability denies is dropped in silence',
    ['capabilities', 'a spec that asks for jail is refused, and changes nothing'],
    (good) => lacking(good, { spec: { ...good.capabilities.spec, jail: false } }),
  ),
];

const RESTART_FAULTS: readonly PlantedFault[] = [
  inOpening(
    'VMs are forgotten at a restart',
    ['restarts', 'a VM that is created is the same after a restart'],
    async (good, options) => {
      if (options.stateDir === undefined) return good.open(options);
      const fresh = await mkdtemp(join(options.stateDir, 'vms-'));
      return good.open({ ...options, stateDir: fresh });
    },
  ),
  inRuntime(
    'onOwnerDeath is ignored',
    ['restarts', "with onOwnerDeath: 'destroy' a VM does not outlive the runtime"],
    (good) => ({
      createVmWithSpec: (vmId, spec, options) =>
        good.createVmWithSpec(vmId, without(spec, 'onOwnerDeath'), options),
    }),
  ),
  inOpening(
    'a state directory can have two owners',
    ['closing', 'a state directory has one owner at a time'],
    (good, options) =>
      good.open(options).catch(async (error: unknown) => {
        if (!isVmRuntimeError(error, 'MICROVM_STATE_LOCKED')) throw error;
        return good.open({ ...options, stateDir: await mkdtemp(join(options.stateDir ?? '', 'second-')) });
      }),
  ),
  inRuntime(
    'a damaged part is not noticed',
    ['damaged files', 'a damaged snapshot is noticed by verifySnapshot: one byte differs'],
    (good) => ({
      verifySnapshot: (ref, options) =>
        good.verifySnapshot(ref, options).catch(async (error: unknown) => {
          if (!isVmRuntimeError(error, 'MICROVM_SNAPSHOT_CORRUPT')) throw error;
          return (await good.describeSnapshot(ref)) ?? good.verifySnapshot(ref);
        }),
    }),
  ),
  inOpening(
    'a VM whose record is damaged is thrown away',
    ['damaged files', 'a damaged VM record is refused on open, and nothing is changed: no JSON'],
    (good, options) =>
      good.open(options).catch(async (error: unknown) => {
        if (!isVmRuntimeError(error, 'MICROVM_STATE_CORRUPT')) throw error;
        await rm(dirname(error.details.path), { recursive: true });
        return good.open(options);
      }),
  ),
];

const CLOSING_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'close() does not wait',
    ['closing', 'close() waits for what is in flight, and refuses what comes after'],
    (good) => ({
      async close() {
        good.close().catch(() => undefined);
      },
    }),
  ),
  inRuntime('a closed runtime still answers', ['closing', 'after close() getVm is refused'], (good) => ({
    getVm: (vmId) => good.getVm(vmId).catch(() => undefined),
  })),
  inRuntime(
    'close() works once',
    ['closing', 'close() may be called again, also while it is at work'],
    (good) => {
      let isClosed = false;
      return {
        async close() {
          if (isClosed) throw new Error('closed already');
          isClosed = true;
          await good.close();
        },
      };
    },
  ),
  inRuntime(
    'readers of events do not hear of the end',
    ['closing', 'close() ends the readers of events, once they have read all'],
    (good) => ({
      async *events(options) {
        yield* good.events(options);
        if (options?.signal === undefined) await new Promise(() => undefined);
      },
    }),
  ),
];

const NO_TRACE = 'a VM that was destroyed and forgotten leaves no descriptor, no process, no file';

/**
 * Leaves something for each VM that is made; all is taken away when the runtime is closed, as the host is not
 * to suffer.
 */
function leaking(good: VmRuntime, leave: () => Promise<() => unknown>): ReturnType<typeof creating> {
  const undo: (() => unknown)[] = [];
  return {
    createVmWithSpec: async (vmId, spec, options) => {
      undo.push(await leave());
      return good.createVmWithSpec(vmId, spec, options);
    },
    close: async () => {
      for (const act of undo.splice(0)) await act();
      await good.close();
    },
  };
}

const LEAK_FAULTS: readonly PlantedFault[] = [
  inRuntime('a descriptor leaks with each VM', ['left-overs', NO_TRACE], (good) =>
    leaking(good, async () => {
      const handle: FileHandle = await open('/dev/null');
      return () => handle.close();
    }),
  ),
  inRuntime('a process leaks with each VM', ['left-overs', NO_TRACE], (good) =>
    leaking(good, async () => {
      const child: ChildProcess = spawn('sleep', ['60'], { stdio: 'ignore' });
      return () => child.kill('SIGKILL');
    }),
  ),
  inRuntime('a file leaks with each VM', ['left-overs', NO_TRACE], (good, { stateDir = '' }) => {
    let count = 0;
    return leaking(good, async () => {
      count += 1;
      await writeFile(join(stateDir, `lock-of-vm-${count}`), '');
      return () => undefined;
    });
  }),
];

export const FAULTS_OF_STATE = [
  ...QUERY_FAULTS,
  ...METRICS_FAULTS,
  ...NAME_FAULTS,
  ...ENDING_FAULTS,
  ...CAPABILITY_FAULTS,
  ...RESTART_FAULTS,
  ...CLOSING_FAULTS,
  ...LEAK_FAULTS,
];
