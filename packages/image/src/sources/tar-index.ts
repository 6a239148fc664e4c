import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { imageInvalid } from './invalid.js';

/** What lies where in an archive. */
export type TarEntry =
  | { readonly kind: 'file'; readonly offset: number; readonly sizeBytes: number }
  | { readonly kind: 'symlink' | 'hardlink'; readonly target: string }
  | { readonly kind: 'other' };

const BLOCK_BYTES = 512;
// An archive of an image has a few entries for each of at most 128 layers.
const MAX_ENTRIES = 10_000;
const MAX_EXTENSION_BYTES = 1024 * 1024;
// PATH_MAX of Linux, without the NUL. All names are kept in memory.
const MAX_NAME_BYTES = 4095;

interface Header {
  readonly name: string;
  readonly target: string;
  readonly type: string;
  readonly sizeBytes: number;
}

/** What a PAX record or an entry of GNU tar says of the entry behind it. */
interface Extension {
  readonly name?: string;
  readonly target?: string;
  readonly sizeBytes?: number;
}

// Names that the archives of image tools begin with, and the root of a file system does not.
const IMAGE_NAMES =
  /^(\.\/)?(blobs(\/|$)|oci-layout$|index\.json$|manifest\.json$|repositories$|[0-9a-f]{64}(\/|\.json$|\.tar$|$))/;
const LOOKED_AT = 16;
// Unpacked: what is packed may go on for hours.
const LOOKED_AT_BYTES = 64 * 1024 * 1024;

/** Whether an archive is one of an image, by the names of its first entries. */
export async function looksLikeImageArchive(stream: AsyncIterable<Buffer>): Promise<boolean> {
  const headers: Header[] = [];
  let rest = Buffer.alloc(0);
  let skip = 0;
  let seen = 0;
  for await (const chunk of stream) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length > 0) {
      const skipped = Math.min(skip, rest.length);
      rest = rest.subarray(skipped);
      skip -= skipped;
      if (skip > 0 || rest.length < BLOCK_BYTES) break;
      const header = parseHeader(rest.subarray(0, BLOCK_BYTES));
      if (header === undefined || headers.length === LOOKED_AT) return headers.some(isImageName);
      headers.push(header);
      skip = BLOCK_BYTES + Math.ceil(header.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    }
    seen += chunk.length;
    if (headers.some(isImageName)) return true;
    if (seen > LOOKED_AT_BYTES) return false;
  }
  return headers.some(isImageName);
}

function isImageName({ name }: Header): boolean {
  return IMAGE_NAMES.test(name);
}

/**
 * Where the files of an outer archive lie, by their names: the archive that `docker save` and the like write
 * around the blobs of an image. Only headers are read. Layers are not read here: @microvm/native does.
 *
 * @throws MICROVM_IMAGE_INVALID
 */
export async function readTarIndex(
  handle: FileHandle,
  source: string,
): Promise<ReadonlyMap<string, TarEntry>> {
  const { size } = await handle.stat();
  const entries = new Map<string, TarEntry>();
  let extension: Extension = {};
  let at = 0;
  for (let count = 0; ; count += 1) {
    const block = await readAt(handle, at, BLOCK_BYTES);
    if (block.length === 0 || block.every((byte) => byte === 0)) break;
    const header = parseHeader(block);
    if (header === undefined || count === MAX_ENTRIES) {
      const reason =
        header === undefined ? 'it is no tar archive' : `it has more than ${MAX_ENTRIES} entries`;
      throw imageInvalid({ source, reason });
    }
    const sizeBytes = extension.sizeBytes ?? header.sizeBytes;
    const offset = at + BLOCK_BYTES;
    if (offset + sizeBytes > size)
      throw imageInvalid({ source, entry: header.name, reason: 'it is cut short' });
    at = offset + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    if ('xgLK'.includes(header.type)) {
      if (sizeBytes > MAX_EXTENSION_BYTES) throw imageInvalid({ source, reason: 'a header is too large' });
      const data = await readAt(handle, offset, sizeBytes);
      // What a global header says holds for all entries; nothing that is read here is said there.
      if (header.type !== 'g') extension = { ...extension, ...extensionOf(header.type, data) };
      continue;
    }
    const { name: longName = '', target = '' } = extension;
    if (Math.max(Buffer.byteLength(longName), Buffer.byteLength(target)) > MAX_NAME_BYTES) {
      throw imageInvalid({ source, entry: longName, reason: `a name has more than ${MAX_NAME_BYTES} bytes` });
    }
    const name = posix.normalize(extension.name ?? header.name).replace(/^\/+|\/$/g, '');
    entries.set(name, entryOf(header, { target: extension.target, offset, sizeBytes }));
    extension = {};
  }
  return entries;
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

function entryOf(
  header: Header,
  { target = header.target, ...place }: { target: string | undefined; offset: number; sizeBytes: number },
): TarEntry {
  if (header.type === '0' || header.type === '\0' || header.type === '7') return { kind: 'file', ...place };
  if (header.type === '1') return { kind: 'hardlink', target };
  return header.type === '2' ? { kind: 'symlink', target } : { kind: 'other' };
}

function parseHeader(block: Buffer): Header | undefined {
  if (block.length < BLOCK_BYTES || numberAt(block, 148, 8) !== checksum(block)) return undefined;
  const sizeBytes = numberAt(block, 124, 12);
  if (sizeBytes === undefined) return undefined;
  const prefix = block.toString('latin1', 257, 262) === 'ustar' ? textAt(block, 345, 155) : '';
  const name = textAt(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    target: textAt(block, 157, 100),
    type: block.toString('latin1', 156, 157),
    sizeBytes,
  };
}

function checksum(block: Buffer): number {
  // The field of the sum itself counts as eight blanks.
  return block.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0);
}

function textAt(block: Buffer, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? length : end);
}

/** Octal digits, or GNU's base 256 for what has no room in them. */
function numberAt(block: Buffer, start: number, length: number): number | undefined {
  if (((block[start] ?? 0) & 0x80) !== 0) {
    const digits = [...block.subarray(start + 1, start + length)];
    const number = digits.reduce((sum, byte) => sum * 256 + byte, (block[start] ?? 0) & 0x7f);
    return Number.isSafeInteger(number) ? number : undefined;
  }
  const text = textAt(block, start, length).trim();
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

function extensionOf(type: string, data: Buffer): Extension {
  const text = data.toString('utf8').replace(/\0+$/, '');
  if (type === 'L') return { name: text };
  if (type === 'K') return { target: text };
  const records = paxRecords(data);
  const size = records.get('size');
  const [name, target] = [records.get('path'), records.get('linkpath')];
  return {
    ...(name === undefined ? {} : { name }),
    ...(target === undefined ? {} : { target }),
    ...(size !== undefined && /^\d{1,15}$/.test(size) ? { sizeBytes: Number(size) } : {}),
  };
}

/** Records of the form `<length> <key>=<value>\n`. */
function paxRecords(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length;) {
    const blank = data.indexOf(' ', at);
    const length = Number(data.toString('latin1', at, blank));
    if (blank < 0 || !Number.isInteger(length) || length <= 0 || at + length > data.length) break;
    const record = data.toString('utf8', blank + 1, at + length - 1);
    const equals = record.indexOf('=');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}
