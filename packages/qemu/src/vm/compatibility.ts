import { checkParts, differenceIn, incompatibleSnapshot, planDrives } from '@microvm/driver-kit';
import type { JsonObject, ResolvedVmSpec, RestoreSource } from '@microvm/runtime';
import { z } from 'zod';
import { releaseOf, type HostFacts } from '../host/host-facts.js';
import { driveConfigs } from '../host/vm-plan.js';
import { CPU_MODEL, MACHINE_TYPE, machineConfig, machineDevices } from '../process/machine.js';
import { partsOf } from './snapshot-parts.js';

/** `apart`: vmstate and a memory file to map. `stream`: one file that QEMU reads memory and all from. */
export type MemoryForm = 'apart' | 'stream';

const compatibility = z.strictObject({
  memoryForm: z.enum(['apart', 'stream']),
  machine: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  cpu: z.string(),
  tscKhz: z.number().nullable(),
  /**
   * What the guest sees, in order: QEMU loads a state into a machine that differs without complaint, and the
   * guest hangs.
   */
  devices: z.array(z.record(z.string(), z.union([z.string(), z.boolean()]))),
});

type Compatibility = z.infer<typeof compatibility>;

// A host measures its clock anew at each boot, and not to the last digit.
const TSC_TOLERANCE = 0.001;

/**
 * Refuses, before any process starts, a snapshot that lacks files, or whose state would not load here or
 * would load and hang.
 */
export function checkSnapshot(hostFacts: HostFacts, source: RestoreSource, spec: ResolvedVmSpec): void {
  if (source.memory) {
    const reason = reasonAgainst(hostFacts, source, spec);
    if (reason !== undefined) throw incompatibleSnapshot(source, reason);
  }
  const form = source.memory ? readCompatibility(source.compatibility)?.memoryForm : undefined;
  checkParts(source, partsOf(spec, planDrives(spec), form));
}

function reasonAgainst(
  hostFacts: HostFacts,
  source: RestoreSource,
  spec: ResolvedVmSpec,
): string | undefined {
  const { vmmVersion } = source;
  if (releaseOf(vmmVersion) !== releaseOf(hostFacts.qemuVersion)) {
    return `taken with QEMU ${vmmVersion}, this is ${hostFacts.qemuVersion}`;
  }
  const taken = readCompatibility(source.compatibility);
  if (taken === undefined) return 'its description is not one of this driver';
  return incompatibility(taken, describeMachine(hostFacts, spec, taken.memoryForm));
}

/** The properties that a machine must have to take over the state of this one. */
export function describeMachine(
  hostFacts: HostFacts,
  spec: ResolvedVmSpec,
  memoryForm: MemoryForm,
): Compatibility {
  const { accelerator } = hostFacts;
  const machine = machineConfig(spec, accelerator, driveConfigs(planDrives(spec)));
  return {
    memoryForm,
    machine: MACHINE_TYPE,
    accelerator,
    cpu: accelerator === 'kvm' ? `${CPU_MODEL}/${hostFacts.cpuFingerprint}` : CPU_MODEL,
    tscKhz: hostFacts.tscKhz ?? null,
    devices: [...machineDevices(machine)],
  };
}

export function readCompatibility(value: JsonObject): Compatibility | undefined {
  return compatibility.safeParse(value).data;
}

/** Why a state that was taken of one machine does not fit another; undefined when it does. */
export function incompatibility(taken: Compatibility, here: Compatibility): string | undefined {
  const fields = ['machine', 'accelerator', 'cpu', 'devices'] as const;
  const difference = differenceIn(fields, taken, here);
  if (difference !== undefined) return difference;
  if (taken.tscKhz === null || here.tscKhz === null || taken.accelerator === 'kvm') return undefined;
  const isOff = Math.abs(taken.tscKhz - here.tscKhz) > taken.tscKhz * TSC_TOLERANCE;
  return isOff ? `the clock counts with ${here.tscKhz} kHz, not with ${taken.tscKhz} kHz` : undefined;
}
