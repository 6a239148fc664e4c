import { setTimeout as delay } from 'node:timers/promises';
import { lockDirectory, type DirectoryLock } from '@microvm/native';
import { hasCode } from '../host/system-error.js';

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 100;

/** The lock of a folder; undefined while another process, or another call of this one, holds it. */
export async function tryLock(folder: string, signal?: AbortSignal): Promise<DirectoryLock | undefined> {
  try {
    return await lockDirectory(folder, signal === undefined ? {} : { signal });
  } catch (error) {
    if (hasCode(error, 'EWOULDBLOCK')) return undefined;
    throw error;
  }
}

/** Tries again and again until `attempt` has an answer: the kernel tells nobody when such a lock is free. */
export async function untilThere<T>(attempt: () => Promise<T | undefined>, signal?: AbortSignal): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    const found = await attempt();
    if (found !== undefined) return found;
    await delay(pause, undefined, { signal }).catch((error: unknown) => {
      throw signal?.aborted === true ? signal.reason : error;
    });
  }
}

/** Does something while no other process does anything under the same lock. */
export async function underLock<T>(folder: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const lock = await untilThere(() => tryLock(folder, signal), signal);
  try {
    return await work();
  } finally {
    lock.release();
  }
}
