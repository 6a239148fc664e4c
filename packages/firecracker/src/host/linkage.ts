import { open, type FileHandle } from 'node:fs/promises';

/** What a program needs of the file system that it runs in. */
export type Linkage = 'static' | 'dynamic' | 'not-elf';

// elf(5): Elf64_Ehdr and Elf64_Phdr of a little-endian machine.
const ELF64_LITTLE_ENDIAN = '7f454c460201';
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
/** A program header of this type names the dynamic linker. */
const PT_INTERP = 3;

/**
 * Whether a program runs in a folder that has nothing but the program. A script does not, nor does a program
 * that is linked dynamically.
 */
export async function linkageOf(path: string): Promise<Linkage> {
  const file = await open(path, 'r');
  try {
    return await linkageIn(file);
  } finally {
    await file.close();
  }
}

async function linkageIn(file: FileHandle): Promise<Linkage> {
  const header = await readAt(file, 0, HEADER_BYTES);
  if (header === undefined || !header.toString('hex').startsWith(ELF64_LITTLE_ENDIAN)) return 'not-elf';
  // e_phoff, e_phentsize, e_phnum
  const offset = Number(header.readBigUInt64LE(32));
  if (header.readUInt16LE(54) !== PROGRAM_HEADER_BYTES || !Number.isSafeInteger(offset)) return 'not-elf';
  const count = header.readUInt16LE(56);
  const headers = await readAt(file, offset, count * PROGRAM_HEADER_BYTES);
  if (headers === undefined) return 'not-elf';
  const types = Array.from({ length: count }, (_, index) =>
    headers.readUInt32LE(index * PROGRAM_HEADER_BYTES),
  );
  return types.includes(PT_INTERP) ? 'dynamic' : 'static';
}

/** Undefined when the file ends before. */
async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer | undefined> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
  return bytesRead === length ? buffer : undefined;
}
