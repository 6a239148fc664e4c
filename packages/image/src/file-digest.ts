import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ignoreAbsent } from './system-error.js';

/** SHA-256 of a file's content, in hex. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

/** Changes when the file is written to or replaced; undefined when it is absent or has another size. */
export async function identityOf(path: string, sizeBytes: number): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(ignoreAbsent);
  if (found === undefined || !found.isFile() || found.size !== BigInt(sizeBytes)) return undefined;
  return [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':');
}
