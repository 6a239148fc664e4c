import { checkParts, differenceIn, incompatibleSnapshot, planDrives } from '@microvm/driver-kit';
import type { JsonObject, ResolvedVmSpec, RestoreSource } from '@microvm/runtime';
import { z } from 'zod';
import { VmmVersion } from '../api/version.js';
import type { HostFacts } from '../host/host-facts.js';
import { partsOf } from './snapshot-parts.js';

const compatibility = z.strictObject({
  /** What the memory files are: a later form, such as a chain of differences, has another name. */
  memoryForm: z.literal('full'),
  /**
   * The format of the state's file, as told by the Firecracker that wrote it; null in a snapshot that is
   * older than this field.
   */
  snapshotFormat: z.string().nullable().default(null),
  cpu: z.string(),
  cpuTemplate: z.string(),
});

/** The properties that a host must have to take over the state of a VM of this host. */
export function describeCompatibility(
  hostFacts: HostFacts,
  spec: ResolvedVmSpec,
): z.infer<typeof compatibility> {
  return {
    memoryForm: 'full',
    snapshotFormat: hostFacts.snapshotFormat,
    cpu: hostFacts.cpuFingerprint,
    cpuTemplate: spec.cpuTemplate ?? 'None',
  };
}

/**
 * Refuses, before any process starts, a snapshot that lacks files, or that this host or this Firecracker
 * would not load.
 */
export function checkSnapshot(hostFacts: HostFacts, source: RestoreSource, spec: ResolvedVmSpec): void {
  if (source.memory) {
    const reason = reasonAgainst(hostFacts, source, spec);
    if (reason !== undefined) throw incompatibleSnapshot(source, reason);
  }
  checkParts(source, partsOf(spec, planDrives(spec), source.memory));
}

function reasonAgainst(
  hostFacts: HostFacts,
  source: RestoreSource,
  spec: ResolvedVmSpec,
): string | undefined {
  const taken = readCompatibility(source.compatibility);
  if (taken === undefined) return 'its description is not one of this driver';
  if (!isReadable(hostFacts, source, taken.snapshotFormat)) {
    const formats = `format ${taken.snapshotFormat ?? 'unknown'}, not ${hostFacts.snapshotFormat ?? 'unknown'}`;
    return `taken with Firecracker ${source.vmmVersion}, this is ${hostFacts.version.text}: ${formats}`;
  }
  return differenceIn(['cpu', 'cpuTemplate'], taken, describeCompatibility(hostFacts, spec));
}

/**
 * Firecracker loads its own format: of the same major version, and no newer minor one
 * (src/vmm/src/snapshot/mod.rs); a load of any other ends the process. Where a format is not known the
 * release has to be the same.
 */
function isReadable(hostFacts: HostFacts, source: RestoreSource, format: string | null): boolean {
  if (format === null || hostFacts.snapshotFormat === null) {
    return VmmVersion.find(source.vmmVersion)?.release === hostFacts.version.release;
  }
  const [major, minor] = format.split('.').map(Number);
  const [ownMajor, ownMinor] = hostFacts.snapshotFormat.split('.').map(Number);
  return major === ownMajor && (minor ?? 0) <= (ownMinor ?? 0);
}

function readCompatibility(value: JsonObject): z.infer<typeof compatibility> | undefined {
  return compatibility.safeParse(value).data;
}
