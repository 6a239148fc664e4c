import { open, type FileHandle } from 'node:fs/promises';
import { type ConsoleOptions, onAbort } from '@microvm/runtime';
import { Pulse, watchFolder } from '../host/file-events.js';
import { ignoreMissing } from '../host/system-error.js';
import { LOG_FILES, logPath } from './log-files.js';

const CHUNK_BYTES = 64 * 1024;

/** How a VM's console is read. */
export interface ReadConsoleOptions extends ConsoleOptions {
  /**
   * The first byte that is kept (see `LogKeeper`). Earlier bytes read as nothing, also for a reader that was
   * too slow.
   */
  readonly limitBytes: number;
  /** Ends a follower after it has received all that was written. */
  readonly ended: AbortSignal;
}

/** A VM's console from its file, and on as it grows. */
export async function* readConsole(directory: string, options: ReadConsoleOptions): AsyncGenerator<Buffer> {
  const { limitBytes, tailBytes = limitBytes, follow = false, ended } = options;
  const signal = options.signal === undefined ? ended : AbortSignal.any([ended, options.signal]);
  const grown = new Pulse();
  const unwatch = follow && !signal.aborted ? watchFolder(directory, onlyConsole(grown)) : () => {};
  const stopWatching = onAbort(signal, grown.fire);
  let file: FileHandle | undefined;
  let position: number | undefined;
  try {
    for (;;) {
      file ??= await open(logPath(directory, 'console'), 'r').catch(ignoreMissing);
      if (file !== undefined) {
        position ??= Math.max(0, (await file.stat()).size - Math.min(tailBytes, limitBytes));
        position = yield* rest(file, position, limitBytes);
      }
      if (!follow || signal.aborted) return;
      await grown.next();
    }
  } finally {
    stopWatching();
    unwatch();
    await file?.close();
  }
}

function onlyConsole(grown: Pulse): (name: string | null) => void {
  return (name) => {
    if (name === LOG_FILES.console || name === null) grown.fire();
  };
}

/** Yields the output from a place on; answers with the place where the output ended. */
async function* rest(file: FileHandle, from: number, limitBytes: number): AsyncGenerator<Buffer, number> {
  for (let position = from; ;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return position;
    // Output that was given back before or during the read has been read as zeros.
    const kept = Math.max(position, (await file.stat()).size - limitBytes);
    position += bytesRead;
    if (kept >= position) position = kept;
    else yield chunk.subarray(bytesRead - (position - kept), bytesRead);
  }
}
