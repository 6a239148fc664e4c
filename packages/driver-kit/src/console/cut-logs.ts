import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { ignoreMissing } from '../host/system-error.js';
import { logPath } from './log-files.js';

const VMM_LOG_LIMIT_BYTES = 256 * 1024;

/** How a console is cut. */
export interface CutConsoleOptions {
  /** Of both of its files together. */
  readonly limitBytes: number;
  /** Makes the VMM write its console to a new file of the same name, from the next byte on. */
  readonly reopen: () => Promise<void>;
}

/**
 * Starts a new file for the console when the present one has half of its bound, and drops the older one. The VMM itself changes
 * over, without a byte lost.
 */
export async function cutConsole(
  directory: string,
  { limitBytes, reopen }: CutConsoleOptions,
): Promise<void> {
  const [now, old] = [logPath(directory, 'console'), logPath(directory, 'consoleOld')];
  if ((await sizeOf(now)) < limitBytes / 2) return;
  await rename(now, old);
  try {
    await reopen();
  } catch (error) {
    await rename(old, now);
    throw error;
  }
  await keepEnd(old, logPath(directory, 'consolePartial'), Math.floor(limitBytes / 2));
}

/**
 * Copies the VMM's own log aside and empties it when it has half of its bound, 256 KiB. Nobody but the VMM's errors fill it. The VMM
 * must have it open for append.
 */
export async function cutVmmLog(directory: string): Promise<void> {
  const path = logPath(directory, 'vmmLog');
  if ((await sizeOf(path)) < VMM_LOG_LIMIT_BYTES / 2) return;
  await rm(logPath(directory, 'vmmLogOld'), { force: true });
  await copyFile(path, logPath(directory, 'vmmLogOld'));
  // Opened for append: what is written next is at the new end.
  await truncate(path, 0);
}

/** Drops what a fast writer wrote beyond the bound before its file was changed. Readers hold the whole one. */
async function keepEnd(path: string, partial: string, bytes: number): Promise<void> {
  const start = (await sizeOf(path)) - bytes;
  if (start <= 0) return;
  await pipeline(createReadStream(path, { start }), createWriteStream(partial, { mode: 0o600 }));
  await rename(partial, path);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(ignoreMissing))?.size ?? 0;
}
