import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CgroupMetrics } from '@microvm/runtime';
import { hasCode } from '../host/system-error.js';

/**
 * What the kernel counts of a cgroup of version 2, as far as it has the controllers; undefined when there is
 * no such cgroup.
 */
export async function cgroupMetrics(path: string): Promise<CgroupMetrics | undefined> {
  const read = (name: string): Promise<string | undefined> => readIfThere(join(path, name));
  const [cpuStat, current, peak, events, pids, ioStat] = await Promise.all(
    ['cpu.stat', 'memory.current', 'memory.peak', 'memory.events', 'pids.current', 'io.stat'].map(read),
  );
  // Every cgroup has this one, whatever its controllers (Linux 4.15).
  if (cpuStat === undefined) return undefined;
  const cpu = keyed(cpuStat);
  return {
    cpu: {
      usageUs: cpu.get('usage_usec') ?? 0,
      userUs: cpu.get('user_usec') ?? 0,
      systemUs: cpu.get('system_usec') ?? 0,
    },
    ...(current === undefined
      ? {}
      : {
          memory: {
            currentBytes: Number(current),
            ...(peak === undefined ? {} : { peakBytes: Number(peak) }),
            oomKillCount: keyed(events ?? '').get('oom_kill') ?? 0,
          },
        }),
    ...(pids === undefined ? {} : { pids: { current: Number(pids) } }),
    ...(ioStat === undefined ? {} : { io: sumOfDisks(ioStat) }),
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1');
  } catch (error) {
    // ENODEV: removed while it was read.
    if (hasCode(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}

/** `name value` lines. */
function keyed(text: string): ReadonlyMap<string, number> {
  return new Map(
    text.split('\n').map((line) => {
      const [name = '', value = ''] = line.split(' ');
      return [name, Number(value)];
    }),
  );
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …` lines. */
function sumOfDisks(text: string): NonNullable<CgroupMetrics['io']> {
  const sum = (key: string): number =>
    [...text.matchAll(new RegExp(` ${key}=(\\d+)`, 'g'))].reduce(
      (total, [, value]) => total + Number(value),
      0,
    );
  return {
    readBytes: sum('rbytes'),
    writeBytes: sum('wbytes'),
    readCount: sum('rios'),
    writeCount: sum('wios'),
  };
}
