import type { VmRuntime } from '@microvm/runtime';

// No vitest in here: child processes use it too.

/**
 * Destroys and forgets every VM, and deletes their snapshots but the one that is kept; each call has the
 * deadline, if there is one.
 */
export async function emptyRuntime(
  runtime: VmRuntime,
  {
    keptSnapshotUid,
    timeoutMs,
  }: { readonly keptSnapshotUid?: string | undefined; readonly timeoutMs?: number },
): Promise<void> {
  const options = timeoutMs === undefined ? {} : { timeoutMs };
  const views = await runtime.listVms();
  await Promise.all(
    views.map(async ({ vmId, state }) => {
      if (state !== 'destroyed') await runtime.destroyVm(vmId, options);
      await runtime.forgetVm(vmId, options);
    }),
  );
  const uids = new Set(views.flatMap(({ snapshots }) => snapshots.map(({ snapshotUid }) => snapshotUid)));
  for (const snapshotUid of uids) {
    if (snapshotUid !== keptSnapshotUid) await runtime.deleteSnapshot({ snapshotUid }, options);
  }
}
