import { VmRuntimeError } from '../../contract/errors.js';
import type { SnapshotRef } from '../../contract/provider.js';
import type { Core } from '../core.js';
import type { SnapshotManifest } from '../manifest.js';

/** The snapshot that a reference names, through its VM (a tombstone too) or by uid. */
export function findSnapshot(core: Core, ref: SnapshotRef): SnapshotManifest | undefined {
  if ('snapshotUid' in ref) return core.catalogue.get(ref.snapshotUid);
  const vm = core.fleet.get(ref.vmId);
  return vm === undefined ? undefined : core.catalogue.find(vm.record.instanceId, ref.snapshotId);
}

/** Errors: SNAPSHOT_NOT_FOUND; SNAPSHOT_CORRUPT when there is one whose manifest cannot be read. */
export function requireSnapshot(core: Core, ref: SnapshotRef): SnapshotManifest {
  const manifest = findSnapshot(core, ref);
  if (manifest !== undefined) return manifest;
  const corruption = 'snapshotUid' in ref ? core.catalogue.corruption(ref.snapshotUid) : undefined;
  throw corruption ?? snapshotNotFound(ref);
}

export function snapshotNotFound(ref: SnapshotRef): VmRuntimeError {
  const snapshot = 'snapshotUid' in ref ? ref.snapshotUid : `${ref.vmId}/${ref.snapshotId}`;
  return new VmRuntimeError('MICROVM_SNAPSHOT_NOT_FOUND', `no snapshot "${snapshot}"`, {
    details: { snapshot },
  });
}
