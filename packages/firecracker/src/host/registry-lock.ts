import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '@microvm/driver-kit';
import { lockDirectory, type DirectoryLock } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';

// A claim takes some milliseconds; the lock ends with its holder.
const POLL_MS = 20;
const TIMEOUT_MS = 30_000;

/**
 * Works on the host's registry of claims as the only process that does. Errors: HOST_FAILURE, what `work`
 * throws.
 */
export async function withRegistry<T>(registryDir: string, work: () => Promise<T>): Promise<T> {
  await mkdir(registryDir, { recursive: true, mode: 0o755 });
  const lock = await takeLock(registryDir);
  try {
    return await work();
  } finally {
    lock.release();
  }
}

async function takeLock(registryDir: string): Promise<DirectoryLock> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    try {
      return await lockDirectory(registryDir);
    } catch (error) {
      if (!hasCode(error, 'EWOULDBLOCK', 'EAGAIN')) throw error;
      if (waitedMs >= TIMEOUT_MS) throw busy(registryDir, error);
      await delay(POLL_MS);
    }
  }
}

function busy(registryDir: string, cause: unknown): VmRuntimeError {
  const operation = `lock "${registryDir}"`;
  const { pid } = cause as { readonly pid?: number };
  const holder = pid === undefined ? 'another process' : `process ${pid}`;
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `${operation}: ${holder} does not let go of it`, {
    details: { operation },
    cause,
    remedy: `end ${holder}, if it is stopped`,
  });
}
