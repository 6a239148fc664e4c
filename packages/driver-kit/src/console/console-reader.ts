import { open, type FileHandle } from 'node:fs/promises';
import type { ConsoleOptions } from '@microvm/runtime';
import { Pulse, watchFolder } from '../host/file-events.js';
import { ignoreMissing } from '../host/system-error.js';
import { logPath } from './log-files.js';

const CHUNK_BYTES = 64 * 1024;

interface Segment {
  readonly file: FileHandle;
  readonly inode: number;
  position: number;
}

/**
 * A VM's console from its file, and on as it grows. The log is cut by giving the file another name and starting a new one
 * (`cutConsole`), so a reader holds the file that it reads: it comes to that one's end before it goes on with the next.
 */
export async function* readConsole(
  directory: string,
  options: ConsoleOptions,
  ended: AbortSignal,
): AsyncGenerator<Buffer> {
  const { tailBytes, follow = false } = options;
  const signal = options.signal === undefined ? ended : AbortSignal.any([ended, options.signal]);
  const grown = new Pulse();
  const unwatch = follow && !signal.aborted ? watchFolder(directory, grown.fire) : () => {};
  signal.addEventListener('abort', grown.fire);
  const segments = await openSegments(directory);
  try {
    await skipTo(segments, tailBytes);
    for (;;) {
      for (const segment of segments) yield* rest(segment);
      if (!follow || signal.aborted) return;
      if (!(await moveOn(directory, segments))) await grown.next();
    }
  } finally {
    signal.removeEventListener('abort', grown.fire);
    unwatch();
    await Promise.all(segments.map(({ file }) => file.close()));
  }
}

/** Oldest first. The newer is opened first: cut in between, it is found again under the older name, and once is enough. */
async function openSegments(directory: string): Promise<Segment[]> {
  const now = await openSegment(logPath(directory, 'console'));
  const before = await openSegment(logPath(directory, 'consoleOld'));
  if (before === undefined || before.inode !== now?.inode) {
    return [before, now].filter((segment) => segment !== undefined);
  }
  await before.file.close();
  return [now];
}

async function openSegment(path: string): Promise<Segment | undefined> {
  const file = await open(path, 'r').catch(ignoreMissing);
  return file === undefined ? undefined : { file, inode: (await file.stat()).ino, position: 0 };
}

async function skipTo(segments: readonly Segment[], tailBytes: number | undefined): Promise<void> {
  if (tailBytes === undefined) return;
  let wanted = tailBytes;
  for (const segment of [...segments].reverse()) {
    const { size } = await segment.file.stat();
    segment.position = Math.max(0, size - wanted);
    wanted -= size - segment.position;
  }
}

async function* rest(segment: Segment): AsyncGenerator<Buffer> {
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await segment.file.read(chunk, 0, CHUNK_BYTES, segment.position);
    if (bytesRead === 0) return;
    segment.position += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

/** Goes on to the next file when the one that was read is no longer written to. Answers whether there is more to read. */
async function moveOn(directory: string, segments: Segment[]): Promise<boolean> {
  const current = segments.at(-1);
  const now = await openSegment(logPath(directory, 'console'));
  if (now === undefined) return false;
  if (now.inode === current?.inode) {
    await now.file.close();
    return false;
  }
  // The new file is there, so the old one has got its last byte; what came since it was read is still read before the new one.
  await Promise.all(segments.splice(0, segments.length - 1).map(({ file }) => file.close()));
  segments.push(now);
  return true;
}
