import { open, rm } from 'node:fs/promises';
import { hasCode } from '@microvm/driver-kit';
import { closeDescriptor, listenUnix, spawnProcess, type SpawnedProcess } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';
import { pathOf } from '../host/paths.js';
import { commandLine, type CommandLineInput } from './command-line.js';

export interface SpawnVmmOptions extends Omit<CommandLineInput, 'qmpFd' | 'agentFd'> {
  readonly qemuPath: string;
  readonly directory: string;
  /** Becomes descriptor `INHERITED_FD` of the VMM. */
  readonly inheritedFd?: number;
}

const QMP_FD = 3;
const AGENT_FD = 4;
/** The number under which the VMM has `inheritedFd`. */
export const INHERITED_FD = 5;

/**
 * Starts QEMU in the VM's folder. This process makes the sockets and hands them over listening. So a client
 * need not wait for QEMU to make them, and their paths may have any length.
 */
export async function spawnVmm(options: SpawnVmmOptions): Promise<SpawnedProcess> {
  const { qemuPath, directory, inheritedFd, ...input } = options;
  const log = await open(pathOf(directory, 'vmmLog'), 'a', 0o600);
  const sockets: number[] = [];
  try {
    sockets.push(await listenAt(pathOf(directory, 'qmpSocket')));
    sockets.push(await listenAt(pathOf(directory, 'agentSocket')));
    return await spawnProcess({
      file: qemuPath,
      args: commandLine({ ...input, qmpFd: QMP_FD, agentFd: AGENT_FD }),
      cwd: directory,
      env: { PATH: process.env['PATH'] },
      fds: [null, log.fd, log.fd, ...sockets, ...(inheritedFd === undefined ? [] : [inheritedFd])],
      // A core would hold the guest's memory.
      limits: { coreSizeBytes: 0 },
    });
  } catch (error) {
    throw hasCode(error, 'ENOENT', 'EACCES') ? cannotRun(qemuPath, error) : error;
  } finally {
    for (const fd of sockets) closeDescriptor(fd);
    await log.close();
  }
}

async function listenAt(path: string): Promise<number> {
  await rm(path, { force: true });
  return listenUnix(path);
}

function cannotRun(qemuPath: string, cause: unknown): VmRuntimeError {
  return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', `start QEMU: "${qemuPath}" cannot be run`, {
    details: { findings: ['qemu-missing'] },
    cause,
  });
}
