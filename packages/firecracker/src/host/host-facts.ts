import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { copyFile } from '@microvm/native';
import type { VmmVersion } from '../api/version.js';
import { EXEC_NAME } from './paths.js';

/** What was found out about the host when the runtime was opened; it holds for the runtime's life. */
export interface HostFacts {
  /** Absolute; the caller's. */
  readonly firecrackerPath: string;
  /**
   * Our copy of the binary, which VMs run: a jail's folder must not depend on the caller's name for the
   * binary.
   */
  readonly execFile: string;
  /** Absent where VMs are not jailed. */
  readonly jailerPath: string | undefined;
  readonly version: VmmVersion;
  /** The format of the snapshots that it writes and reads, such as `11.0.0`; null where it does not tell. */
  readonly snapshotFormat: string | null;
  /** The release of the host's Linux. */
  readonly kernelRelease: string;
  /** Names the processor as a guest sees it that runs on it directly. */
  readonly cpuFingerprint: string;
  /** The mount point of the cgroup v2 file system; undefined: VMs get no cgroup. */
  readonly cgroupMount: string | undefined;
}

export function execFileIn(stateDir: string): string {
  return join(stateDir, 'bin', EXEC_NAME);
}

/** Makes that copy, whole or not at all; VMs that run have one of their own. */
export async function installExecFile({ firecrackerPath, execFile }: HostFacts): Promise<void> {
  await mkdir(dirname(execFile), { recursive: true, mode: 0o700 });
  await copyFile(firecrackerPath, execFile);
  await chmod(execFile, 0o755);
}
