import { hasCode, mountOf, nearestFolder } from '@microvm/driver-kit';
import type { HostFinding } from '@microvm/runtime';

/** Findings about the mount of the state directory. */
export interface MountFindings {
  /** From all VMs. */
  readonly always: readonly HostFinding[];
  /** From those that are jailed. */
  readonly jailed: readonly HostFinding[];
}

interface Refusal {
  readonly option: 'noexec' | 'nodev';
  /** The option of mount(8) that takes it back. */
  readonly opposite: string;
  readonly problem: string;
}

const NOEXEC: Refusal = {
  option: 'noexec',
  opposite: 'exec',
  problem: 'each VM runs a copy of Firecracker in it',
};
const NODEV: Refusal = {
  option: 'nodev',
  opposite: 'dev',
  problem: 'Firecracker cannot open the devices that the jailer makes for it there, KVM among them',
};

/**
 * Looks at the mount; says nothing of a folder that this process may not look at. Rejects with the system's
 * error.
 */
export async function mountFindings(stateDir: string): Promise<MountFindings> {
  const mount = await mountOf(await nearestFolder(stateDir)).catch((error: unknown) => {
    if (hasCode(error, 'EACCES', 'EPERM', 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  });
  const found = ({ option, opposite, problem }: Refusal): HostFinding[] =>
    mount?.options.includes(option) === true
      ? [
          {
            code: `state-dir-${option}`,
            severity: 'error',
            message: `"${stateDir}" is on a file system that is mounted ${option} at "${mount.point}": ${problem}`,
            remedy: `choose another state directory, or: mount -o remount,${opposite} "${mount.point}"`,
          },
        ]
      : [];
  return { always: found(NOEXEC), jailed: found(NODEV) };
}
