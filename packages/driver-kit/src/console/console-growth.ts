import { stat } from 'node:fs/promises';
import { onAbort } from '@microvm/runtime';
import { Pulse, watchFolder } from '../host/file-events.js';
import { ignoreMissing } from '../host/system-error.js';
import { LOG_FILES, logPath } from './log-files.js';

/** Bytes that were written to the console, those included that are not kept any more. */
export async function consoleSize(directory: string): Promise<number> {
  return (await stat(logPath(directory, 'console')).catch(ignoreMissing))?.size ?? 0;
}

/**
 * Resolves when the console's file has the size asked for; woken by writes to it. Rejects with the signal's
 * reason.
 */
export async function untilConsole(
  directory: string,
  isThere: (size: number) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const written = new Pulse();
  const unwatch = watchFolder(directory, (name) => {
    if (name === LOG_FILES.console || name === null) written.fire();
  });
  const stopWatching = onAbort(signal, written.fire);
  try {
    while (!isThere(await consoleSize(directory))) {
      signal.throwIfAborted();
      await written.next();
    }
  } finally {
    stopWatching();
    unwatch();
  }
}
