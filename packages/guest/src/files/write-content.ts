import { PayloadWriter } from '../payload.js';
import { ask, decodeNothing } from './ask.js';
import type { CallPaths } from './file-error.js';
import { fileMessage } from './file-message.js';
import { FileOp, MAX_FILE_DATA, NO_POSITION, WRITE_ATOMIC, WRITE_FLUSH } from './file-protocol.js';
import type { FileWorker } from './file-worker.js';

export interface ContentRequest {
  readonly flags: number;
  readonly mode: number;
  readonly isAtomic: boolean;
  readonly isFlushed: boolean;
  readonly start: number | undefined;
  readonly path: Buffer;
}

/** The request that begins a write. */
export function writeRequest({ flags, mode, isAtomic, isFlushed, start, path }: ContentRequest): Buffer {
  const options = (isAtomic ? WRITE_ATOMIC : 0) | (isFlushed ? WRITE_FLUSH : 0);
  const body = new PayloadWriter().u32(flags).u32(mode).u8(options);
  body.u64(start === undefined ? NO_POSITION : BigInt(start)).blob(path);
  return fileMessage(FileOp.writeFile, body);
}

/** Sends a chunk of a write, in as many messages as it needs; resolves when more may be sent. */
export async function sendContent(worker: FileWorker, data: Buffer): Promise<void> {
  for (let at = 0; at < data.length && !worker.isOver; at += MAX_FILE_DATA) {
    const message = fileMessage(FileOp.data, data.subarray(at, at + MAX_FILE_DATA));
    await new Promise<void>((resolve) => worker.send(message, undefined, resolve));
  }
}

/** Writes the whole of a file. */
export async function writeContent(
  worker: FileWorker,
  request: ContentRequest,
  data: Buffer,
  paths: CallPaths,
): Promise<void> {
  let isAnswered = false;
  const question = { message: writeRequest(request), paths, decode: decodeNothing };
  const answer = ask(worker, question).finally(() => (isAnswered = true));
  answer.catch(() => undefined); // It is awaited below; it may fail before.
  for (let at = 0; at < data.length && !isAnswered; at += MAX_FILE_DATA)
    await sendContent(worker, data.subarray(at, at + MAX_FILE_DATA));
  // Also behind a failure: what follows is the next request again.
  worker.send(fileMessage(FileOp.commit));
  await answer;
}
