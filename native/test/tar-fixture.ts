import { createHash } from 'node:crypto';

const BLOCK = 512;

/** An entry of an archive; names are bytes where a string is not enough. */
export interface TarEntry {
  readonly name: string | Buffer;
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: string | Buffer;
  readonly major?: number;
  readonly minor?: number;
  readonly data?: string | Buffer;
  /** The size in the header; default: that of the data. */
  readonly size?: number;
  /** Records of a PAX header before it. */
  readonly pax?: readonly (readonly [string | Buffer, string | Buffer])[];
  /** Changes the finished header block, before its checksum is made. */
  readonly change?: (block: Buffer) => void;
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

export function paxRecord(keyword: string | Buffer, value: string | Buffer): Buffer {
  const body = Buffer.concat([
    Buffer.from(' '),
    bytesOf(keyword),
    Buffer.from('='),
    bytesOf(value),
    Buffer.from('\n'),
  ]);
  let length = body.length + 1;
  while (body.length + String(length).length !== length) length = body.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function bytesOf(text: string | Buffer): Buffer {
  return typeof text === 'string' ? Buffer.from(text) : text;
}

/** Sets the checksum of a header block. */
export function seal(block: Buffer): Buffer {
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

export function header(entry: TarEntry): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, size: number): void => {
    block.write(value.toString(8).padStart(size - 1, '0'), at, 'latin1');
  };
  bytesOf(entry.name).copy(block, 0, 0, 100);
  octal(entry.mode ?? 0o644, 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(entry.size ?? bytesOf(entry.data ?? '').length, 124, 12);
  octal(entry.mtime ?? 0, 136, 12);
  block.write(entry.type ?? '0', 156, 'latin1');
  bytesOf(entry.link ?? '').copy(block, 157, 0, 100);
  block.write('ustar\x0000', 257, 'latin1');
  octal(entry.major ?? 0, 329, 8);
  octal(entry.minor ?? 0, 337, 8);
  entry.change?.(block);
  return seal(block);
}

export function tarEntry(entry: TarEntry): Buffer {
  const parts: Buffer[] = [];
  if (entry.pax !== undefined) {
    const records = Buffer.concat(entry.pax.map(([keyword, value]) => paxRecord(keyword, value)));
    parts.push(header({ name: 'pax', type: 'x', data: records }), padded(records));
  }
  parts.push(header(entry), padded(bytesOf(entry.data ?? '')));
  return Buffer.concat(parts);
}

/** A whole archive, with the two blocks of zeros at its end. */
export function tar(...entries: readonly (TarEntry | Buffer)[]): Buffer {
  const parts = entries.map((entry) => (Buffer.isBuffer(entry) ? entry : tarEntry(entry)));
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

export const folder = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({
  name,
  type: '5',
  mode: 0o755,
  ...more,
});
export const file = (
  name: string | Buffer,
  data: string | Buffer = '',
  more: Partial<TarEntry> = {},
): TarEntry => ({
  name,
  data,
  ...more,
});
export const symlink = (name: string, link: string): TarEntry => ({ name, type: '2', link, mode: 0o777 });
export const hardLink = (name: string, link: string): TarEntry => ({ name, type: '1', link });
