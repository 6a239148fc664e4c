import { watchProcess, type ProcessExit, type ProcessIdentity, type ProcessWatch } from '@microvm/native';
import { VmRuntimeError, within } from '@microvm/runtime';
import { lastLogLines } from '../console/log-tail.js';

/**
 * How long the kernel may take to end a process after SIGKILL: an overloaded or emulated host is slow to take
 * it apart.
 */
export const EXIT_AFTER_KILL_MS = 20_000;

/** Which VMM it is about. */
export interface VmmName {
  /** The VMM's own name, such as `QEMU`. */
  readonly vmm: string;
  readonly vmId: string;
  readonly instanceId: string;
}

/** Kills a VMM; resolves when it is gone. Rejects with `MICROVM_HOST_FAILURE` when it does not go. */
export async function killVmm(process: ProcessWatch, name: VmmName): Promise<void> {
  process.kill('SIGKILL');
  await within<ProcessExit>(process.exited, { timeoutMs: EXIT_AFTER_KILL_MS }, () => {
    const { pid } = process.identity;
    throw vmmFailure(name, `process ${pid} did not end ${EXIT_AFTER_KILL_MS} ms after SIGKILL`);
  });
}

/** Kills VMMs that this process holds no life of, one after the other. Rejects as `killVmm` does. */
export async function killVmms(identities: readonly ProcessIdentity[], name: VmmName): Promise<void> {
  for (const identity of identities) {
    const process = watchProcess(identity);
    try {
      await killVmm(process, name);
    } finally {
      process.close();
    }
  }
}

/** The caller's error when the process is gone: `MICROVM_VMM_EXITED` with the last lines of its logs. */
export async function vmmExited(
  { vmm, vmId }: VmmName,
  { exitCode, signal }: ProcessExit,
  directory: string,
): Promise<VmRuntimeError> {
  const lastLogs = await lastLogLines(directory).catch(() => []);
  const how = signal === null ? `exit code ${exitCode}` : signal;
  return new VmRuntimeError('MICROVM_VMM_EXITED', `${vmm} of "${vmId}" ended: ${how}`, {
    details: { exitCode, signal, lastLogLines: lastLogs },
  });
}

/** The caller's error when a VMM does what no VMM should do: `MICROVM_HOST_FAILURE`. */
export function vmmFailure(
  { vmm, vmId, instanceId }: VmmName,
  message: string,
  cause?: unknown,
): VmRuntimeError {
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `${vmm} of "${vmId}": ${message}`, {
    details: { operation: `${vmm} of ${instanceId}` },
    cause,
  });
}
