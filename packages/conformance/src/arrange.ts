import type { VmRuntime, VmSpec, VmState } from '@microvm/runtime';

export interface Arrangement {
  readonly runtime: VmRuntime;
  readonly vmId: string;
  /** For a VM that is made from nothing. */
  readonly spec: VmSpec;
  /** The snapshot that live VMs come from; undefined for a cold boot. */
  readonly source: string | undefined;
  /** Beside a snapshot: only fields that a restore may choose anew. */
  readonly extra: VmSpec;
  /** Kills the VMM and waits for the state. */
  crash(): Promise<unknown>;
}

type Arrange = (arrangement: Arrangement) => Promise<unknown>;

const created: Arrange = ({ runtime, vmId, spec, extra }) =>
  runtime.createVmWithSpec(vmId, { ...spec, ...extra });

const running: Arrange = async (arrangement) => {
  const { runtime, vmId, extra, source } = arrangement;
  if (source !== undefined)
    return runtime.createVmWithSpec(vmId, { ...extra, restoreFrom: { snapshotUid: source } });
  await created(arrangement);
  return runtime.startVm(vmId);
};

/** How a VM is brought into each state, by the shortest way. */
export const ARRANGE: Readonly<Record<VmState, Arrange>> = {
  created,
  running,
  async paused(arrangement) {
    const { runtime, vmId, extra, source } = arrangement;
    if (source !== undefined) {
      const restoreFrom = { snapshotUid: source };
      return runtime.createVmWithSpec(vmId, { ...extra, restoreFrom, resumeImmediately: false });
    }
    await running(arrangement);
    return runtime.pauseVm(vmId);
  },
  async stopped(arrangement) {
    await running(arrangement);
    return arrangement.runtime.stopVm(arrangement.vmId);
  },
  async crashed(arrangement) {
    await running(arrangement);
    return arrangement.crash();
  },
  async destroyed(arrangement) {
    await created(arrangement);
    return arrangement.runtime.destroyVm(arrangement.vmId);
  },
};
