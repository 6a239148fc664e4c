import { PayloadWriter } from '@microvm/guest';
import type { Inode } from '../fs/inode.js';

const BLOCK_BYTES = 4_096;
const SECTORS_PER_BLOCK = 8n;
const MS_PER_SECOND = 1_000;
const NS_PER_MS = 1_000_000;

/** DT_* of readdir(3). */
const KINDS = { file: 8, directory: 4, symlink: 10 } as const;

export function kindOf({ kind }: Inode): number {
  return KINDS[kind];
}

/** Of a folder and of a file that is no longer than a block, as most file systems of Linux have it. */
function sizeOf(inode: Inode): number {
  return inode.kind === 'directory' ? BLOCK_BYTES : inode.size;
}

/** The subfolders of a folder have each a `..`. */
function linksOf(inode: Inode): number {
  if (inode.kind !== 'directory') return inode.links;
  return 2 + [...inode.entries.values()].filter(({ kind }) => kind === 'directory').length;
}

export function putTime(output: PayloadWriter, timeMs: number): void {
  const seconds = Math.floor(timeMs / MS_PER_SECOND);
  const rest = Math.round((timeMs - seconds * MS_PER_SECOND) * NS_PER_MS);
  output.u64(BigInt.asUintN(64, BigInt(seconds))).u32(Math.min(rest, 999_999_999));
}

/** What the wire calls _stats_. */
export function encodeStats(inode: Inode): Buffer {
  const size = sizeOf(inode);
  const blocks = inode.kind === 'symlink' ? 0n : BigInt(Math.ceil(size / BLOCK_BYTES)) * SECTORS_PER_BLOCK;
  const output = new PayloadWriter()
    .u64(1n)
    .u64(BigInt(inode.number))
    .u32((KINDS[inode.kind] << 12) | inode.mode)
    .u64(BigInt(linksOf(inode)))
    .u32(inode.uid)
    .u32(inode.gid)
    .u64(0n)
    .u64(BigInt(size))
    .u64(BigInt(BLOCK_BYTES))
    .u64(blocks);
  for (const time of [inode.atimeMs, inode.mtimeMs, inode.ctimeMs, inode.birthtimeMs]) putTime(output, time);
  return output.done();
}
