import { invalidArgument, VmRuntimeError } from '../../contract/errors.js';
import { parseSnapshotId, parseSnapshotUid, parseVmId } from '../../contract/ids.js';
import type { SnapshotRef } from '../../contract/verbs.js';
import type { EngineContext } from '../engine-context.js';
import type { SnapshotManifest } from '../manifest.js';
import type { Subject } from '../verb.js';

/** Checks a reference to a snapshot. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseSnapshotRef(value: unknown, path = 'snapshot'): SnapshotRef {
  if (typeof value !== 'object' || value === null) {
    throw invalidArgument(path, '{ vmId, snapshotId } or { snapshotUid }');
  }
  if ('snapshotUid' in value) {
    return { snapshotUid: parseSnapshotUid(value.snapshotUid, `${path}.snapshotUid`) };
  }
  const { vmId, snapshotId } = value as Readonly<Record<string, unknown>>;
  return {
    vmId: parseVmId(vmId, `${path}.vmId`),
    snapshotId: parseSnapshotId(snapshotId, `${path}.snapshotId`),
  };
}

/** The uid that a reference stands for now, whether or not there is such a snapshot. */
export function resolveSnapshot({ fleet, catalogue }: EngineContext, ref: SnapshotRef): string | undefined {
  if ('snapshotUid' in ref) return ref.snapshotUid;
  const vm = fleet.get(ref.vmId);
  return vm === undefined ? undefined : catalogue.find(vm.record.instanceId, ref.snapshotId)?.snapshotUid;
}

/** Jobs on one snapshot take turns, however each of them names it. */
export function subjectOfSnapshot(context: EngineContext, ref: SnapshotRef): Subject | undefined {
  const snapshotUid = resolveSnapshot(context, ref);
  return snapshotUid === undefined ? undefined : { snapshotUid };
}

/** The snapshot that a reference names, through its VM (a tombstone too) or by uid. */
export function findSnapshot(context: EngineContext, ref: SnapshotRef): SnapshotManifest | undefined {
  const snapshotUid = resolveSnapshot(context, ref);
  return snapshotUid === undefined ? undefined : context.catalogue.get(snapshotUid);
}

/** Errors: SNAPSHOT_NOT_FOUND; SNAPSHOT_CORRUPT when there is one whose manifest cannot be read. */
export function requireSnapshot(context: EngineContext, ref: SnapshotRef): SnapshotManifest {
  const manifest = findSnapshot(context, ref);
  if (manifest !== undefined) return manifest;
  const corruption = 'snapshotUid' in ref ? context.catalogue.corruption(ref.snapshotUid) : undefined;
  throw corruption ?? snapshotNotFound(ref);
}

export function snapshotNotFound(ref: SnapshotRef): VmRuntimeError {
  const snapshot = 'snapshotUid' in ref ? ref.snapshotUid : `${ref.vmId}/${ref.snapshotId}`;
  return new VmRuntimeError('MICROVM_SNAPSHOT_NOT_FOUND', `no snapshot "${snapshot}"`, {
    details: { snapshot },
  });
}
