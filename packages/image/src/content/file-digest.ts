import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { MIB } from '@microvm/runtime';

/** SHA-256 of a file's content, in hex. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
