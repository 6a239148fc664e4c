import { createHash, webcrypto } from 'node:crypto';
import { open } from 'node:fs/promises';

const CHUNK_BYTES = 4 * 1024 * 1024;
// libuv has four threads: two leave room for others, and one core reads while the other hashes.
const CHUNKS_AT_ONCE = 2;

/**
 * SHA-256 over the SHA-256 of each 4 MiB chunk of a file, in hex, off the main thread. Errors: the system's; an abort rejects with the
 * signal's reason.
 */
export async function digestFile(path: string, signal?: AbortSignal): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const chunks: Buffer[] = new Array<Buffer>(Math.ceil(size / CHUNK_BYTES));
    let next = 0;
    const work = async (): Promise<void> => {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size));
      while (next < chunks.length) {
        signal?.throwIfAborted();
        const index = next++;
        const { bytesRead } = await file.read(buffer, 0, buffer.length, index * CHUNK_BYTES);
        chunks[index] = Buffer.from(await webcrypto.subtle.digest('SHA-256', buffer.subarray(0, bytesRead)));
      }
    };
    await Promise.all(Array.from({ length: CHUNKS_AT_ONCE }, work));
    return createHash('sha256').update(Buffer.concat(chunks)).digest('hex');
  } finally {
    await file.close();
  }
}
