import { expect, test } from 'vitest';
import { findKernelPayload, hasPvhEntry } from '../../src/default/bzimage.js';

/** A file with the fields of a bzImage's setup header that count here. */
function bzImage(
  payload: Buffer,
  { setupSectors = 3, offset = 100, protocol = 0x020f, length = -1 } = {},
): Buffer {
  const start = ((setupSectors || 4) + 1) * 512 + offset;
  const file = Buffer.alloc(start + payload.length + 4);
  file[0x1f1] = setupSectors;
  file.write('HdrS', 0x202, 'latin1');
  file.writeUInt16LE(protocol, 0x206);
  file.writeUInt32LE(offset, 0x248);
  file.writeUInt32LE(length < 0 ? payload.length + 4 : length, 0x24c);
  payload.copy(file, start);
  file.writeUInt32LE(123_456, start + payload.length);
  return file;
}

const LZ4 = Buffer.from('02214c18aabbccddee', 'hex');

test('the payload is found by the setup header, without the length that the build appends', () => {
  expect(findKernelPayload(bzImage(LZ4))).toEqual({ compression: 'lz4', data: LZ4, unpackedBytes: 123_456 });
});

test('a count of 0 setup sectors means 4, as the boot protocol says', () => {
  expect(findKernelPayload(bzImage(LZ4, { setupSectors: 0 }))?.data).toEqual(LZ4);
});

test.each([
  ['gzip', '1f8b08000000000000'],
  ['xz', 'fd377a585a000004e6'],
  ['zstd', '28b52ffd0000000000'],
  ['unknown', '010203040506070809'],
])('the compression is told by the magic number: %s', (compression, hex) => {
  expect(findKernelPayload(bzImage(Buffer.from(hex, 'hex')))?.compression).toBe(compression);
});

test.each([
  ['an empty file', Buffer.alloc(0)],
  ['an ELF file', Buffer.concat([Buffer.from('7f454c46', 'hex'), Buffer.alloc(4096)])],
  ['a bzImage cut short', bzImage(LZ4).subarray(0, -5)],
  ['a boot protocol without a payload field', bzImage(LZ4, { protocol: 0x0207 })],
  ['a payload that would be nothing', bzImage(LZ4, { length: 4 })],
])('%s has no payload', (_name, file) => {
  expect(findKernelPayload(file)).toBeUndefined();
});

/** A 64-bit ELF file with one PT_NOTE segment. */
function elfWithNotes(notes: Buffer): Buffer {
  const header = Buffer.alloc(64 + 56);
  header.write('7f454c4602', 0, 'hex');
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(4, 64);
  header.writeBigUInt64LE(120n, 64 + 8);
  header.writeBigUInt64LE(BigInt(notes.length), 64 + 32);
  return Buffer.concat([header, notes]);
}

function note(name: string, type: number, descriptorBytes: number): Buffer {
  const padded = (length: number): number => Math.ceil(length / 4) * 4;
  const bytes = Buffer.alloc(12 + padded(name.length) + padded(descriptorBytes));
  bytes.writeUInt32LE(name.length, 0);
  bytes.writeUInt32LE(descriptorBytes, 4);
  bytes.writeUInt32LE(type, 8);
  bytes.write(name, 12, 'latin1');
  return bytes;
}

test('the PVH entry is found behind other notes', () => {
  const elf = elfWithNotes(Buffer.concat([note('GNU\0', 3, 20), note('Xen\0', 6, 5), note('Xen\0', 18, 8)]));
  expect(hasPvhEntry(elf)).toBe(true);
});

test.each([
  ['another note of Xen', elfWithNotes(note('Xen\0', 6, 8))],
  ['the same number of another owner', elfWithNotes(note('GNU\0', 18, 8))],
  ['no notes', elfWithNotes(Buffer.alloc(0))],
  ['no ELF file', Buffer.from('HdrS'.repeat(40))],
  ['an ELF file cut short', elfWithNotes(note('Xen\0', 18, 8)).subarray(0, 100)],
])('%s is no PVH entry', (_name, file) => {
  expect(hasPvhEntry(file)).toBe(false);
});
