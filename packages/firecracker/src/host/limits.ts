import { readFile, stat } from 'node:fs/promises';
import { ignoreMissing } from '@microvm/driver-kit';
import type { CgroupLimits } from '@microvm/native';
import { MIB, type ResolvedVmSpec } from '@microvm/runtime';

const CPU_PERIOD_US = 100_000;

/**
 * A VM's limits as cgroup v2 takes them; empty when none was asked for. `memory.max` is the guest's memory
 * and the headroom.
 */
export async function cgroupLimits(spec: ResolvedVmSpec, stateDir: string): Promise<CgroupLimits> {
  const { limits } = spec;
  if (limits === undefined) return {};
  const { cpuCores, memoryHeadroomMib, pidsMax } = limits;
  return {
    'cpu.max':
      cpuCores === undefined ? undefined : `${Math.round(cpuCores * CPU_PERIOD_US)} ${CPU_PERIOD_US}`,
    ...(memoryHeadroomMib === undefined
      ? {}
      : {
          'memory.max': (spec.memSizeMib + memoryHeadroomMib) * MIB,
          // Swapped memory is not within the limit, and a guest's secrets would be on the disk.
          'memory.swap.max': 0,
        }),
    'pids.max': pidsMax,
    'io.max': await ioLimit(limits, stateDir),
  };
}

async function ioLimit(
  { ioReadBytesPerSecond: read, ioWriteBytesPerSecond: write }: NonNullable<ResolvedVmSpec['limits']>,
  stateDir: string,
): Promise<string | undefined> {
  if (read === undefined && write === undefined) return undefined;
  return `${await diskOf(stateDir)} rbps=${read ?? 'max'} wbps=${write ?? 'max'}`;
}

/**
 * The disk below a folder as the kernel numbers it: limits are of whole disks, a file system may be on a
 * part.
 */
async function diskOf(folder: string): Promise<string> {
  const { dev } = await stat(folder);
  const device = `/sys/dev/block/${major(dev)}:${minor(dev)}`;
  const isPart = (await stat(`${device}/partition`).catch(ignoreMissing)) !== undefined;
  return isPart ? (await readFile(`${device}/../dev`, 'utf8')).trim() : `${major(dev)}:${minor(dev)}`;
}

// gnu_dev_major(3), gnu_dev_minor(3)
function major(dev: number): number {
  return Math.floor(dev / 0x100) & 0xfff;
}

function minor(dev: number): number {
  return (dev & 0xff) | ((Math.floor(dev / 0x1000) & ~0xff) >>> 0);
}
