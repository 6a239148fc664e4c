import { open } from 'node:fs/promises';

/** What the root folder of a file system is like. */
export interface RootAttributes {
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
}

// Linux, fs/squashfs/squashfs_fs.h
const MAGIC = 0x73717368;
const SUPERBLOCK_BYTES = 96;
const ID_COUNT_AT = 26;
const ROOT_INODE_AT = 32;
const ID_TABLE_AT = 48;
const INODE_TABLE_AT = 64;
const METADATA_BYTES = 8192;
const HEADER_BYTES = 2;
const ID_BYTES = 4;
const UNCOMPRESSED = 0x8000;
const DIRECTORY_TYPES = [1, 8];
// Of an inode: its type, mode, two indexes of ids, and its time.
const INODE_START_BYTES = 12;
const MODE_AT = 2;
const UID_AT = 4;
const GID_AT = 6;
const MTIME_AT = 8;

/**
 * Sets the attributes of a squashfs' root. sqfstar 4.5.1 gives the root to the user who runs it, and the time
 * at which it runs, whatever its options say. Needs a file system whose inodes are not compressed (`-noI`).
 *
 * An owner of whom the file system has nothing else stays who ran sqfstar: there is no number for the owner.
 */
export async function setSquashfsRoot(path: string, root: RootAttributes): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const read = async (at: number, length: number): Promise<Buffer> => {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at);
      if (bytesRead !== length) throw new Error(`"${path}" is no squashfs: it ends early`);
      return buffer;
    };
    const superblock = await read(0, SUPERBLOCK_BYTES);
    if (superblock.readUInt32LE() !== MAGIC) throw new Error(`"${path}" is no squashfs`);
    const placeOf = await rootInode(superblock, read);
    const inode = Buffer.alloc(INODE_START_BYTES);
    for (let at = 0; at < INODE_START_BYTES; at += 1) (await read(placeOf(at), 1)).copy(inode, at);
    if (!DIRECTORY_TYPES.includes(inode.readUInt16LE()))
      throw new Error(`the root of "${path}" is no folder`);
    const ids = await readIds(superblock, read);
    for (const [id, field] of [
      [root.uid, UID_AT],
      [root.gid, GID_AT],
    ] as const) {
      if (ids.includes(id)) inode.writeUInt16LE(ids.indexOf(id), field);
    }
    inode.writeUInt16LE(root.mode & 0o7777, MODE_AT);
    inode.writeUInt32LE(root.mtimeSeconds >>> 0, MTIME_AT);
    for (let at = 0; at < INODE_START_BYTES; at += 1) await file.write(inode, at, 1, placeOf(at));
  } finally {
    await file.close();
  }
}

type Read = (at: number, length: number) => Promise<Buffer>;

/**
 * Where each byte of the root's inode is: an inode may go on in the next block, behind that block's header.
 */
async function rootInode(superblock: Buffer, read: Read): Promise<(at: number) => number> {
  const reference = superblock.readBigUInt64LE(ROOT_INODE_AT);
  const block = Number(superblock.readBigUInt64LE(INODE_TABLE_AT)) + Number(reference >> 16n);
  const offset = Number(reference & 0xffffn);
  await requireUncompressed(block, read);
  return (at) =>
    block + HEADER_BYTES + offset + at + HEADER_BYTES * Math.floor((offset + at) / METADATA_BYTES);
}

/** Users and groups, which inodes name by their place in this list. */
async function readIds(superblock: Buffer, read: Read): Promise<number[]> {
  const count = superblock.readUInt16LE(ID_COUNT_AT);
  const table = Number(superblock.readBigUInt64LE(ID_TABLE_AT));
  const perBlock = METADATA_BYTES / ID_BYTES;
  const ids: number[] = [];
  for (let start = 0; start < count; start += perBlock) {
    const block = Number((await read(table + (8 * start) / perBlock, 8)).readBigUInt64LE());
    await requireUncompressed(block, read);
    const here = Math.min(perBlock, count - start);
    const data = await read(block + HEADER_BYTES, here * ID_BYTES);
    for (let at = 0; at < here; at += 1) ids.push(data.readUInt32LE(at * ID_BYTES));
  }
  return ids;
}

async function requireUncompressed(block: number, read: Read): Promise<void> {
  const header = (await read(block, HEADER_BYTES)).readUInt16LE();
  if ((header & UNCOMPRESSED) === 0) throw new Error('a squashfs with compressed inodes');
}
