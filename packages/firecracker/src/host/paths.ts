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
  /**
   * A snapshot of this VM is written here before it is published, never over a file that the VM itself maps.
   */
  savedState: 'to.vmstate',
  savedMemory: 'to.memory',
} as const;

/** Names in the VM's own folder. A VMM reaches a file there only through a link that our process made. */
export const VM_FILES = {
  /** `vmmLog` also has the jailer's failures and Firecracker's panics. */
  ...LOG_FILES,
  /** The VMM's log of the life before. */
  vmmLogOld: 'vmm.old.log',
  metrics: 'metrics.log',
  /** The totals of all lines of metrics, those of earlier lives too. */
  metricsTotals: 'metrics.json',
  /** Facts of the present life, unless it is the first, for an owner that adopts it. */
  life: 'life.json',
} as const;

/** A drive as the VMM sees it. */
export function diskName(driveId: string): string {
  return `${VMM_FILES.disks}/${driveId}`;
}
