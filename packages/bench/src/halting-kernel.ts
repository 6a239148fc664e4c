import { writeFile } from 'node:fs/promises';

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const LOAD_ADDRESS = 0x100_0000n;
// cli; hlt; jmp to the hlt: nothing wakes this guest, and it takes no time of the host's.
const CODE = Buffer.from('faf4ebfd', 'hex');

/**
 * Writes a kernel that halts at once. A Linux that gets nowhere, as where KVM cannot run one, would keep a
 * core busy: what is measured is the host's side, and a guest that takes no time is the same on every host.
 */
export async function writeHaltingKernel(path: string): Promise<void> {
  const image = Buffer.alloc(HEADER_BYTES + SEGMENT_BYTES);
  // elf(5): 64-bit, little-endian; an executable for x86-64.
  image.write('7f454c46020101', 'hex');
  image.writeUInt16LE(2, 16);
  image.writeUInt16LE(62, 18);
  image.writeUInt32LE(1, 20);
  image.writeBigUInt64LE(LOAD_ADDRESS, 24);
  image.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  image.writeUInt16LE(HEADER_BYTES, 52);
  image.writeUInt16LE(SEGMENT_BYTES, 54);
  image.writeUInt16LE(1, 56);
  // Its one segment: loaded, may be read and run.
  image.writeUInt32LE(1, HEADER_BYTES);
  image.writeUInt32LE(5, HEADER_BYTES + 4);
  image.writeBigUInt64LE(BigInt(image.length), HEADER_BYTES + 8);
  image.writeBigUInt64LE(LOAD_ADDRESS, HEADER_BYTES + 16);
  image.writeBigUInt64LE(LOAD_ADDRESS, HEADER_BYTES + 24);
  image.writeBigUInt64LE(BigInt(CODE.length), HEADER_BYTES + 32);
  image.writeBigUInt64LE(BigInt(CODE.length), HEADER_BYTES + 40);
  await writeFile(path, Buffer.concat([image, CODE]));
}
