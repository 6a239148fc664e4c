import { type FilePart, readPart } from './image-files.js';

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz';

const MAGIC: readonly (readonly [string, Compression])[] = [
  ['1f8b', 'gzip'],
  ['28b52ffd', 'zstd'],
  ['fd377a585a00', 'xz'],
];

/** How a file is packed, by its first bytes: media types and names of files are often wrong about it. */
export async function compressionOf(part: FilePart): Promise<Compression> {
  const start = (await readPart(part, 0, Math.min(6, part.sizeBytes))).toString('hex');
  return MAGIC.find(([magic]) => start.startsWith(magic))?.[1] ?? 'none';
}
