import { open, stat } from 'node:fs/promises';
import { imageDriveOf, MIB, type ResolvedVmSpec } from '@microvm/runtime';

const HEADER_BYTES = 0x300;
const ELF_MAGIC = 0x464c457f;
const PT_LOAD = 1;
// Documentation/arch/x86/boot.rst: "HdrS" at 0x202, pref_address at 0x258, init_size at 0x260.
const SETUP_MAGIC = 0x53726448;
// The memory that Linux needs until its first program runs. The default image boots with 80 MiB and does not
// with 72; drives take more.
const LINUX_ROOM_BYTES = 8 * MIB;
// With an image as its root, on squashfs and overlayfs, it boots with 84 MiB and does not with 80.
const IMAGE_ROOM_BYTES = 5 * MIB;

/**
 * The memory in MiB without which a guest cannot boot: up to the end of its kernel, and twice the initramfs,
 * which is unpacked beside itself. Undefined for a kernel of another form than ELF and bzImage.
 */
export async function leastMemoryMib(
  spec: Pick<ResolvedVmSpec, 'kernelPath' | 'initrdPath' | 'bootArgs' | 'drives'>,
): Promise<number | undefined> {
  const { kernelPath, initrdPath } = spec;
  if (kernelPath === undefined) return undefined;
  const kernelEnd = await endOfKernel(kernelPath);
  if (kernelEnd === undefined) return undefined;
  const initrdBytes = initrdPath === undefined ? 0 : (await stat(initrdPath)).size;
  const imageBytes = imageDriveOf(spec) === undefined ? 0 : IMAGE_ROOM_BYTES;
  return Math.ceil((kernelEnd + 2 * initrdBytes + LINUX_ROOM_BYTES + imageBytes) / MIB);
}

/** The highest physical address that a kernel takes, in bytes. */
async function endOfKernel(path: string): Promise<number | undefined> {
  const file = await open(path, 'r');
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    await file.read(header, 0, header.length, 0);
    if (header.readUInt32LE(0x202) === SETUP_MAGIC) {
      return Number(header.readBigUInt64LE(0x258)) + header.readUInt32LE(0x260);
    }
    if (header.readUInt32LE(0) !== ELF_MAGIC) return undefined;
    // Elf64_Ehdr: e_phoff, e_phentsize, e_phnum.
    const [offset, size, count] = [
      Number(header.readBigUInt64LE(32)),
      header.readUInt16LE(54),
      header.readUInt16LE(56),
    ];
    const headers = Buffer.alloc(size * count);
    await file.read(headers, 0, headers.length, offset);
    return endOfSegments(headers, size);
  } finally {
    await file.close();
  }
}

function endOfSegments(headers: Buffer, size: number): number | undefined {
  let end: number | undefined;
  for (let at = 0; size >= 56 && at + size <= headers.length; at += size) {
    if (headers.readUInt32LE(at) !== PT_LOAD) continue;
    // Elf64_Phdr: p_paddr, p_memsz.
    end = Math.max(
      end ?? 0,
      Number(headers.readBigUInt64LE(at + 24)) + Number(headers.readBigUInt64LE(at + 40)),
    );
  }
  return end;
}
