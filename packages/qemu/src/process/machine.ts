import type { ResolvedVmSpec } from '@microvm/runtime';
import type { Accelerator } from '../host/host-facts.js';
import type { DriveConfig } from '../host/vm-plan.js';

/** All of a machine that its guest can see; two machines that are equal here can load each other's state. */
export interface MachineConfig {
  readonly accelerator: Accelerator;
  readonly vcpuCount: number;
  readonly memSizeMib: number;
  readonly hasEntropy: boolean;
  readonly drives: readonly DriveConfig[];
}

export const MACHINE_TYPE = 'microvm';
export const CPU_MODEL = 'max';
/** The agent looks for the port by this name. */
export const AGENT_PORT_NAME = 'microvm.agent';
/** virtio-blk cuts longer serial numbers off (VIRTIO_BLK_ID_BYTES). */
export const SERIAL_LENGTH = 20;

type Device = Readonly<Record<string, string | boolean>>;

export function machineConfig(
  spec: ResolvedVmSpec,
  accelerator: Accelerator,
  drives: readonly DriveConfig[],
): MachineConfig {
  return {
    accelerator,
    vcpuCount: spec.vcpuCount,
    memSizeMib: spec.memSizeMib,
    hasEntropy: spec.entropy !== undefined,
    drives,
  };
}

/** The devices in the order in which the guest numbers them. */
export function machineDevices(machine: MachineConfig): readonly Device[] {
  return [
    // Without it a panic cannot be told from a reboot.
    { driver: 'pvpanic' },
    { driver: 'virtio-serial-device', id: 'serial' },
    { driver: 'virtserialport', id: 'agent-port', chardev: 'agent', name: AGENT_PORT_NAME },
    ...machine.drives.map((drive, index) => ({
      driver: 'virtio-blk-device',
      id: `blk${index}`,
      drive: `drive${index}`,
      serial: drive.driveId,
      // QEMU's own choice is to stop the VM when the host's disk is full: a pause that nobody asked for.
      werror: 'report',
      rerror: 'report',
    })),
    ...(machine.hasEntropy ? [{ driver: 'virtio-rng-device', id: 'rng', rng: 'entropy' }] : []),
  ];
}
