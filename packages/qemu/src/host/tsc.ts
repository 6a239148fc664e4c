import { readFileSync, openSync, closeSync, readSync, constants, existsSync } from 'node:fs';

export interface TscSources {
  readonly cpuinfo: string;
  /** With frequency scaling, /proc/cpuinfo shows what a core does now and not how fast its counter counts. */
  readonly hasFrequencyScaling: boolean;
  /** cpufreq's `base_frequency`. */
  readonly baseFrequencyKhz: string | undefined;
  /** The readable part of the kernel's log; empty without the right to read it. */
  readonly kernelLog: string;
}

/**
 * Frequency of the host's time stamp counter in kHz, which an emulated guest has as well. Undefined when
 * nothing tells it.
 */
export function tscKhzFrom(sources: TscSources): number | undefined {
  return (
    fromMhz(/tsc: Refined TSC clocksource calibration: ([\d.]+) MHz/.exec(sources.kernelLog)) ??
    fromMhz(/tsc: Detected ([\d.]+) MHz TSC/.exec(sources.kernelLog)) ??
    fromMhz(/tsc: Detected ([\d.]+) MHz processor/.exec(sources.kernelLog)) ??
    (sources.hasFrequencyScaling ? undefined : fromMhz(/^cpu MHz\s*: ([\d.]+)$/m.exec(sources.cpuinfo))) ??
    positive(Number(sources.baseFrequencyKhz)) ??
    positive(Number(/^model name\s*:.*@ ([\d.]+)GHz/m.exec(sources.cpuinfo)?.[1]) * 1_000_000)
  );
}

function fromMhz(match: RegExpExecArray | null): number | undefined {
  return match === null ? undefined : positive(Number(match[1]) * 1000);
}

function positive(khz: number): number | undefined {
  return Number.isFinite(khz) && khz > 0 ? Math.round(khz) : undefined;
}

const CPUFREQ = '/sys/devices/system/cpu/cpu0/cpufreq';

export function readTscKhz(): number | undefined {
  return tscKhzFrom({
    cpuinfo: readOr('/proc/cpuinfo') ?? '',
    hasFrequencyScaling: existsSync(CPUFREQ),
    baseFrequencyKhz: readOr(`${CPUFREQ}/base_frequency`),
    kernelLog: readKernelLog(),
  });
}

function readOr(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Not every host has every source.
    return undefined;
  }
}

/** One read of /dev/kmsg is one record; it is not for everybody. */
function readKernelLog(): string {
  let fd: number | undefined;
  const records: string[] = [];
  try {
    fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
    const buffer = Buffer.alloc(8192);
    for (;;) records.push(buffer.toString('latin1', 0, readSync(fd, buffer)));
  } catch {
    // EAGAIN is the end of the log; EPERM and ENOENT leave it empty.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  return records.filter((record) => record.includes('tsc:')).join('');
}
