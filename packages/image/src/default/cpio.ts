/** A file of an archive. Owner is root, the time is 1970: the same entries give the same bytes. */
export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character-device';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const TYPE_BITS = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  'character-device': 0o020000,
} as const;

const TRAILER = 'TRAILER!!!';
const ALIGNMENT = 4;
const MAX_FILE_BYTES = 0xffffffff;

/**
 * A cpio archive in the `newc` format, as the kernel unpacks it
 * (Documentation/driver-api/early-userspace/buffer-format). It is written here and not by the `cpio` program,
 * because that one copies device nodes only from existing ones, which needs root to make. A folder must come
 * before what is in it: the kernel makes none by itself.
 */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  for (const entry of entries) {
    parts.push(...record(entry, inode));
    inode += 1;
  }
  parts.push(...rawRecord({ path: TRAILER, inode: 0, mode: 0, links: 1, data: Buffer.alloc(0) }));
  return Buffer.concat(parts);
}

function record(entry: CpioEntry, inode: number): Buffer[] {
  const permissions = entry.kind === 'symlink' ? 0o777 : entry.mode;
  const device = entry.kind === 'character-device' ? { major: entry.major, minor: entry.minor } : {};
  return rawRecord({
    path: entry.path,
    inode,
    mode: TYPE_BITS[entry.kind] | permissions,
    links: entry.kind === 'directory' ? 2 : 1,
    data: dataOf(entry),
    ...device,
  });
}

function dataOf(entry: CpioEntry): Buffer {
  if (entry.kind === 'symlink') return Buffer.from(entry.target);
  return entry.kind === 'file' ? Buffer.from(entry.data) : Buffer.alloc(0);
}

interface RawRecord {
  readonly path: string;
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly data: Buffer;
  readonly major?: number;
  readonly minor?: number;
}

function rawRecord({ path, inode, mode, links, data, major = 0, minor = 0 }: RawRecord): Buffer[] {
  if (path.startsWith('/') || path.includes('\0')) throw new Error(`cpio: "${path}" is not a relative path`);
  if (data.length > MAX_FILE_BYTES)
    throw new Error(`cpio: "${path}" has ${data.length} bytes, the format ends at 4 GiB`);
  const name = Buffer.from(`${path}\0`);
  // Order of the fields: inode, mode, uid, gid, links, mtime, size, device (2), node's device (2), name size,
  // checksum.
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), data, padding(data.length)];
}

function padding(length: number): Buffer {
  return Buffer.alloc((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);
}
