import { open } from 'node:fs/promises';

/** What the root folder of a file system is like. */
export interface RootAttributes {
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly mtimeSeconds: number;
}

// Linux, fs/squashfs/squashfs_fs.h
const MAGIC = 0x73717368;
const SUPERBLOCK_BYTES = 96;
const ROOT_INODE_AT = 32;
const INODE_TABLE_AT = 64;
const METADATA_BYTES = 8192;
const HEADER_BYTES = 2;
const UNCOMPRESSED = 0x8000;
const DIRECTORY_TYPES = [1, 8];
// Of an inode: its type, mode, two indexes of ids, and its time.
const INODE_START_BYTES = 12;
const MODE_AT = 2;
const MTIME_AT = 8;

/**
 * Sets the attributes of a squashfs' root. sqfstar 4.5.1 gives the root the time at which it runs, whatever
 * its options say, so that two runs would give two files. Needs a file system whose inodes are not
 * compressed (`-noI`).
 */
export async function setSquashfsRoot(path: string, { mode, mtimeSeconds }: RootAttributes): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const read = async (at: number, length: number): Promise<Buffer> => {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at);
      if (bytesRead !== length) throw new Error(`"${path}" is no squashfs: it ends early`);
      return buffer;
    };
    const superblock = await read(0, SUPERBLOCK_BYTES);
    if (superblock.readUInt32LE() !== MAGIC) throw new Error(`"${path}" is no squashfs`);
    const reference = superblock.readBigUInt64LE(ROOT_INODE_AT);
    const table = Number(superblock.readBigUInt64LE(INODE_TABLE_AT));
    const block = table + Number(reference >> 16n);
    const offset = Number(reference & 0xffffn);
    const header = (await read(block, HEADER_BYTES)).readUInt16LE();
    if ((header & UNCOMPRESSED) === 0) throw new Error(`"${path}" has compressed inodes`);
    // An inode may go on in the next block, behind that block's header.
    const placeOf = (at: number): number =>
      block + HEADER_BYTES + at + HEADER_BYTES * Math.floor(at / METADATA_BYTES);
    const inode = Buffer.alloc(INODE_START_BYTES);
    for (let at = 0; at < INODE_START_BYTES; at += 1) (await read(placeOf(offset + at), 1)).copy(inode, at);
    if (!DIRECTORY_TYPES.includes(inode.readUInt16LE()))
      throw new Error(`the root of "${path}" is no folder`);
    inode.writeUInt16LE(mode & 0o7777, MODE_AT);
    inode.writeUInt32LE(mtimeSeconds >>> 0, MTIME_AT);
    for (let at = 0; at < INODE_START_BYTES; at += 1) await file.write(inode, at, 1, placeOf(offset + at));
  } finally {
    await file.close();
  }
}
