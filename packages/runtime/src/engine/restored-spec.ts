import { deepFreeze } from '../contract/deep-freeze.js';
import { invalidArgument } from '../contract/errors.js';
import {
  FREE_ON_RESTORE,
  UNRECORDED_FIELDS,
  resolveVmSpec,
  type ResolvedVmSpec,
  type VmSpec,
} from '../contract/spec.js';
import { refuseContradiction } from './fleet.js';
import type { SnapshotManifest } from './manifest.js';
import { HOST_FIELDS, withoutNetns, withoutPath, type PortableSpec } from './portable-spec.js';

/** Fields that are compared by what they hold, not by how the caller spells it. */
const COMPARED_BY_CONTENT: readonly string[] = ['kernelPath', 'initrdPath', 'image'];

export interface Restoration {
  /** The fields that the caller gave beside `restoreFrom`. */
  readonly given: VmSpec;
  readonly defaults: VmSpec;
  readonly manifest: SnapshotManifest;
  /** Stands for the path of a private drive, whose content is in the snapshot. */
  readonly directory: string;
}

/**
 * The spec of a restored VM. The snapshot says what describes its guest. The caller may choose some fields
 * anew. What a host grants comes from the caller or from the runtime's defaults. Errors: INVALID_ARGUMENT for
 * a field that contradicts the snapshot.
 */
export function restoredSpec(restoration: Restoration): ResolvedVmSpec {
  const { given, defaults, manifest } = restoration;
  const free: readonly string[] = FREE_ON_RESTORE;
  const ofRestore: readonly string[] = UNRECORDED_FIELDS;
  const chosen: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(given)) {
    if (value === undefined || ofRestore.includes(field) || COMPARED_BY_CONTENT.includes(field)) continue;
    if (free.includes(field)) chosen[field] = value;
    else
      refuseContradiction(
        `spec.${field}`,
        portable(field, given),
        manifest.spec[field as keyof PortableSpec],
      );
  }
  const { rootDrive: _root, drives: _drives, networkInterfaces: _nics, ...guest } = manifest.spec;
  return deepFreeze({
    ...resolveVmSpec(picked(given), picked(defaults)),
    ...guest,
    ...chosen,
    ...drivesOf(restoration),
    ...interfacesOf(given, manifest.spec),
  });
}

function picked(spec: VmSpec): VmSpec {
  const fields = HOST_FIELDS.filter((field) => spec[field] !== undefined);
  return Object.fromEntries(fields.map((field) => [field, spec[field]]));
}

/** A field of the caller's as a manifest would have it. */
function portable(field: string, given: VmSpec): unknown {
  if (field === 'rootDrive') return given.rootDrive && withoutPath(given.rootDrive);
  if (field === 'drives') return given.drives?.map(withoutPath);
  if (field === 'networkInterfaces') return given.networkInterfaces?.map(withoutNetns);
  return given[field as keyof VmSpec];
}

function drivesOf({ manifest, directory }: Restoration): Pick<ResolvedVmSpec, 'rootDrive' | 'drives'> {
  const { rootDrive, drives } = manifest.spec;
  return {
    ...(rootDrive === undefined ? {} : { rootDrive: { ...rootDrive, path: directory } }),
    ...(drives === undefined ? {} : { drives: drives.map((drive) => ({ ...drive, path: directory })) }),
  };
}

/** The overrides are what the VM is from now on: a cold boot later finds the same TAPs. */
function interfacesOf(
  { networkInterfaces: given = [], networkOverrides = [] }: VmSpec,
  { networkInterfaces }: PortableSpec,
): Pick<ResolvedVmSpec, 'networkInterfaces'> {
  const unknown = networkOverrides.findIndex(
    ({ ifaceId }) => networkInterfaces?.some((nic) => nic.ifaceId === ifaceId) !== true,
  );
  if (unknown >= 0) {
    throw invalidArgument(`spec.networkOverrides[${unknown}].ifaceId`, 'an interface that the snapshot has');
  }
  if (networkInterfaces === undefined) return {};
  return {
    networkInterfaces: networkInterfaces.map((nic) => ({
      ...nic,
      ...given.find(({ ifaceId }) => ifaceId === nic.ifaceId),
      ...networkOverrides.find(({ ifaceId }) => ifaceId === nic.ifaceId),
    })),
  };
}
