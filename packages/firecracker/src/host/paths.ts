import { LOG_FILES } from '@microvm/driver-kit';

/**
 * The name of our copy of Firecracker: the jailer puts jails into a folder of that name, so it never changes.
 */
export const EXEC_NAME = 'firecracker';

/**
 * Names in the folder of a VM's VMM, as the VMM sees them: the same for every VM, so that a snapshot restores
 * into any number.
 */
export const VMM_FILES = {
  apiSocket: 'microvm-api.sock',
  vsock: 'v.sock',
  kernel: 'kernel',
  initrd: 'initrd',
  disks: 'disks',
  log: 'vmm.log',
  metrics: 'metrics.log',
  /** The snapshot that the VM comes from: shared files, which nobody may write. */
  loadedState: 'from.vmstate',
  loadedMemory: 'from.memory',
  /** Where one of this VM is written to, before it is published: never over what the VM itself maps. */
  savedState: 'to.vmstate',
  savedMemory: 'to.memory',
} as const;

/** Names in the VM's own folder, which no VMM can reach but through a link of ours. */
export const VM_FILES = {
  /** `vmmLog` has also what the jailer says of its failures, and Firecracker of a panic of its own. */
  ...LOG_FILES,
  /** That of the life before. */
  vmmLogOld: 'vmm.old.log',
  metrics: 'metrics.log',
  /** What its lines came to, those of earlier lives too. */
  metricsTotals: 'metrics.json',
  /** Facts of the present life, unless it is the first, for an owner that adopts it. */
  life: 'life.json',
} as const;

/** A drive as the VMM sees it. */
export function diskName(driveId: string): string {
  return `${VMM_FILES.disks}/${driveId}`;
}
