import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOG_FILES } from '@microvm/driver-kit';
import { spawnProcess, type SpawnedProcess } from '@microvm/native';
import type { MinimalVm } from '../host/vm-plan.js';
import { commandLine } from './command-line.js';

const PROGRAM = fileURLToPath(new URL('../vmm.mjs', import.meta.url));

/**
 * Starts a VM's VMM in the VM's folder. What the guest says goes to `console.log`, what the VMM says to
 * `vmm.log`.
 */
export async function spawnVmm(
  { directory, instanceId }: MinimalVm,
  load: string | undefined,
): Promise<SpawnedProcess> {
  const console = await open(join(directory, LOG_FILES.console), 'a', 0o600);
  const log = await open(join(directory, LOG_FILES.vmmLog), 'a', 0o600);
  try {
    return await spawnProcess({
      file: process.execPath,
      args: commandLine(PROGRAM, { instanceId, load }),
      cwd: directory,
      env: {},
      fds: [null, console.fd, log.fd],
    });
  } finally {
    await Promise.all([console.close(), log.close()]);
  }
}
