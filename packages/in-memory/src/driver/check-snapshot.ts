import { unsupported, VmRuntimeError } from '@microvm/runtime';
import type { Capabilities, JsonObject, ResolvedVmSpec, RestoreSource } from '@microvm/runtime';
import type { World } from '../world.js';

export const VMM_VERSION = '1.0.0';

const FORMAT = 1;

/** What a restore must find equal. */
export function compatibilityOf(cpuModel: string): JsonObject {
  return { format: FORMAT, cpuModel };
}

/** Throws `MICROVM_UNSUPPORTED` for a second live restore where only one is possible. */
export function checkConcurrency(source: RestoreSource, capabilities: Capabilities, world: World): void {
  if (capabilities.concurrentRestores || !source.memory) return;
  const isInUse = [...world.vms.values()].some((vm) => vm.memoryFrom === source.snapshotUid);
  if (isInUse) throw unsupported('a second live VM restored from one snapshot');
}

function checkOverrides(source: RestoreSource, spec: ResolvedVmSpec, capabilities: Capabilities): void {
  if (source.networkOverrides.length > 0 && !capabilities.networkOverrides) {
    throw unsupported('spec.networkOverrides');
  }
}

export interface SnapshotCheck {
  readonly spec: ResolvedVmSpec;
  readonly capabilities: Capabilities;
  readonly world: World;
  readonly cpuModel: string;
}

/** Throws `MICROVM_SNAPSHOT_INCOMPATIBLE`, `MICROVM_UNSUPPORTED`, `MICROVM_INVALID_ARGUMENT`. */
export function checkSnapshot(source: RestoreSource, check: SnapshotCheck): void {
  const { snapshotUid, compatibility } = source;
  const here = compatibilityOf(check.cpuModel);
  for (const key of Object.keys(here)) {
    if (compatibility[key] === here[key]) continue;
    const reason = `its ${key} is ${JSON.stringify(compatibility[key])}, here it is ${JSON.stringify(here[key])}`;
    throw new VmRuntimeError('MICROVM_SNAPSHOT_INCOMPATIBLE', `restore snapshot ${snapshotUid}: ${reason}`, {
      details: { snapshotUid, reason },
    });
  }
  checkOverrides(source, check.spec, check.capabilities);
  checkConcurrency(source, check.capabilities, check.world);
}
