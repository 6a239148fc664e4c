import { closeSync, fchown, open } from 'node:fs';
import { rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { allSettledOrThrow, hasCode, ignoreMissing } from '@microvm/driver-kit';
import { spawnProcess, type SpawnedProcess } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';
import { VM_FILES } from '../host/paths.js';
import { bareArgs, jailerArgs, type JailOptions } from './command-line.js';

// Each VM has a handful of small files: a descriptor, closed at once, is a third of the work that a
// FileHandle is.
const openFile = promisify(open);
const changeOwner = promisify(fchown);

export interface SpawnVmmOptions {
  readonly instanceId: string;
  readonly execFile: string;
  /** The VM's folder: logs go there. */
  readonly directory: string;
  /** Absent: without a jail, in the folder `workingDirectory`. */
  readonly jail: (JailOptions & { readonly jailerPath: string }) | undefined;
  readonly workingDirectory: string;
  /** Absolute; the process is born in it. */
  readonly cgroup: string | undefined;
  readonly netnsPath: string | undefined;
  /** False: what the guest writes to its console is thrown away. */
  readonly console: boolean;
  /** How long a file may get that it writes. */
  readonly fileSizeBytes: number;
}

/**
 * Starts Firecracker, through its jailer or bare. Its standard output is the guest's console: a file outside
 * of its jail that we have opened to append to. A VMM that was taken over can still do with that descriptor
 * what its owner can: write at other places, or cut the file.
 */
export async function spawnVmm(options: SpawnVmmOptions): Promise<SpawnedProcess> {
  const { instanceId, execFile, directory, jail, cgroup, netnsPath, workingDirectory } = options;
  const logs: number[] = [];
  try {
    const [console, stderr] = await allSettledOrThrow([
      options.console ? openLog(logs, join(directory, VM_FILES.console)) : Promise.resolve(null),
      openLog(logs, join(directory, VM_FILES.vmmLog)),
    ]);
    return await spawnProcess({
      ...(jail === undefined
        ? { file: execFile, args: bareArgs(instanceId), cwd: workingDirectory }
        : { file: jail.jailerPath, args: jailerArgs(instanceId, execFile, jail), cwd: '/' }),
      env: {},
      fds: [null, console, stderr],
      // A core would hold the guest's memory.
      limits: { coreSizeBytes: 0, fileSizeBytes: options.fileSizeBytes },
      ...(cgroup === undefined ? {} : { cgroup }),
      // The jailer enters it itself.
      ...(netnsPath === undefined || jail !== undefined ? {} : { netns: netnsPath }),
    });
  } catch (error) {
    throw isOfProgram(error) ? cannotRun(jail?.jailerPath ?? execFile, error) : error;
  } finally {
    for (const log of logs) closeSync(log);
  }
}

async function openLog(logs: number[], path: string): Promise<number> {
  const log = await openFile(path, 'a', 0o600);
  logs.push(log);
  return log;
}

export interface VmmLogsOptions {
  /** Whose they are; null: ours. */
  readonly uid: number | null;
  /** There was no earlier life, so there are no logs to put away. */
  readonly isFirst: boolean;
}

/**
 * Makes the empty logs that a VMM writes itself, owned by its user. They are new files, because the VMM
 * begins at their start.
 */
export async function makeVmmLogs(directory: string, { uid, isFirst }: VmmLogsOptions): Promise<void> {
  const vmmLog = join(directory, VM_FILES.vmmLog);
  const metrics = join(directory, VM_FILES.metrics);
  if (!isFirst) {
    await allSettledOrThrow([
      rename(vmmLog, join(directory, VM_FILES.vmmLogOld)).catch(ignoreMissing),
      unlink(metrics).catch(ignoreMissing),
    ]);
  }
  await allSettledOrThrow([makeEmpty(vmmLog, uid), makeEmpty(metrics, uid)]);
}

async function makeEmpty(path: string, uid: number | null): Promise<void> {
  const file = await openFile(path, 'wx', 0o600);
  try {
    if (uid !== null) await changeOwner(file, uid, uid);
  } finally {
    closeSync(file);
  }
}

/**
 * Whether a start failed because of the program, and not because of the namespace, the cgroup or the folder.
 */
function isOfProgram(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'EACCES') && (error as NodeJS.ErrnoException).syscall === 'execve';
}

function cannotRun(program: string, cause: unknown): VmRuntimeError {
  return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', `start Firecracker: "${program}" cannot be run`, {
    details: { findings: ['firecracker-missing'] },
    cause,
  });
}
