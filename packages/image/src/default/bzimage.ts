/** How the kernel proper is packed inside a bzImage. */
export interface KernelPayload {
  readonly compression: 'lz4' | 'gzip' | 'xz' | 'zstd' | 'unknown';
  /** The compressed stream, without the length that the kernel's build appends to it. */
  readonly data: Buffer;
  /** Size of the ELF file that it unpacks to. */
  readonly unpackedBytes: number;
}

// Documentation/arch/x86/boot.rst: offsets in the setup header.
const SETUP_SECTORS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PROTOCOL_VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const FIRST_PROTOCOL_WITH_PAYLOAD = 0x0208;
const SECTOR_BYTES = 512;
const APPENDED_LENGTH_BYTES = 4;

const MAGICS: readonly (readonly [Exclude<KernelPayload['compression'], 'unknown'>, string])[] = [
  ['lz4', '02214c18'],
  ['gzip', '1f8b'],
  ['xz', 'fd377a585a00'],
  ['zstd', '28b52ffd'],
];

/** Finds the compressed kernel by the setup header; undefined when the file is no bzImage or is cut short. */
export function findKernelPayload(bzImage: Buffer): KernelPayload | undefined {
  if (bzImage.length < PAYLOAD_LENGTH + 4) return undefined;
  if (bzImage.toString('latin1', HEADER_MAGIC, HEADER_MAGIC + 4) !== 'HdrS') return undefined;
  if (bzImage.readUInt16LE(PROTOCOL_VERSION) < FIRST_PROTOCOL_WITH_PAYLOAD) return undefined;
  const setupSectors = bzImage[SETUP_SECTORS] || 4;
  const start = (setupSectors + 1) * SECTOR_BYTES + bzImage.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + bzImage.readUInt32LE(PAYLOAD_LENGTH);
  if (end > bzImage.length || end - start <= APPENDED_LENGTH_BYTES) return undefined;
  const data = bzImage.subarray(start, end - APPENDED_LENGTH_BYTES);
  const magic = data.toString('hex', 0, 8);
  return {
    compression: MAGICS.find(([, prefix]) => magic.startsWith(prefix))?.[0] ?? 'unknown',
    data,
    unpackedBytes: bzImage.readUInt32LE(end - APPENDED_LENGTH_BYTES),
  };
}

const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** True for a 64-bit ELF kernel with the note by which QEMU enters it directly (PVH). */
export function hasPvhEntry(elf: Buffer): boolean {
  if (elf.length < 64 || elf.toString('hex', 0, 5) !== '7f454c4602') return false;
  const headersAt = Number(elf.readBigUInt64LE(32));
  const headerBytes = elf.readUInt16LE(54);
  const headers = elf.readUInt16LE(56);
  for (let i = 0; i < headers; i += 1) {
    const at = headersAt + i * headerBytes;
    if (at + 56 > elf.length) return false;
    if (elf.readUInt32LE(at) !== PT_NOTE) continue;
    const start = Number(elf.readBigUInt64LE(at + 8));
    const notes = elf.subarray(start, start + Number(elf.readBigUInt64LE(at + 32)));
    if (hasXenEntryNote(notes)) return true;
  }
  return false;
}

function hasXenEntryNote(notes: Buffer): boolean {
  const padded = (length: number) => Math.ceil(length / 4) * 4;
  let at = 0;
  while (at + 12 <= notes.length) {
    const nameBytes = notes.readUInt32LE(at);
    const descriptorBytes = notes.readUInt32LE(at + 4);
    const type = notes.readUInt32LE(at + 8);
    const name = notes.toString('latin1', at + 12, at + 12 + nameBytes);
    if (name === 'Xen\0' && type === XEN_ELFNOTE_PHYS32_ENTRY) return true;
    at += 12 + padded(nameBytes) + padded(descriptorBytes);
  }
  return false;
}
