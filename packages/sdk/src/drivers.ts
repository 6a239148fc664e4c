import { VmRuntimeError } from '@microvm/runtime';
import type { HostReport, VmRuntime } from '@microvm/runtime';
import { DRIVER_NAMES, type DriverName, type OpenOptions } from './options.js';

/** What the SDK opens a driver with; one that has no use for an option refuses it. */
export type DriverOptions = Omit<OpenOptions, 'driver'>;

interface DriverEntry {
  /** It runs real guests: it may be picked without being asked for, and has a state directory. */
  readonly isReal: boolean;
  /** Opens nothing, leaves nothing. */
  probe(options: { readonly stateDir?: string }): Promise<HostReport>;
  open(options: DriverOptions): Promise<VmRuntime>;
}

/** Loaded when they are needed: a driver that is not used costs nothing. */
export const DRIVERS: Readonly<Record<DriverName, DriverEntry>> = {
  firecracker: {
    isReal: true,
    probe: async (options) => (await import('@microvm/firecracker')).probeFirecracker(options),
    open: async (options) => (await import('@microvm/firecracker')).createFirecrackerRuntime(options),
  },
  qemu: {
    isReal: true,
    probe: async (options) => (await import('@microvm/qemu')).probeQemu(options),
    open: async (options) => (await import('@microvm/qemu')).createQemuRuntime(options),
  },
  'in-memory': {
    isReal: false,
    probe: async () => {
      await using runtime = await (await import('@microvm/in-memory')).createInMemoryRuntime();
      return await runtime.probe();
    },
    open: async (options) => (await import('@microvm/in-memory')).createInMemoryRuntime(options),
  },
};

/** The driver that runs the VMs, and what was found out about each that was looked at. */
export interface DriverChoice {
  readonly driver: string;
  /** Why this one, for people. */
  readonly reason: string;
  /** Of each driver that was looked at, in the order of preference. */
  readonly reports: readonly HostReport[];
}

type Probe = (driver: DriverName) => Promise<HostReport>;

/**
 * Takes the driver that was asked for, whatever its probe says: its own errors say it better when it is
 * opened.
 */
export async function takeDriver(driver: DriverName, askedBy: string, probe: Probe): Promise<DriverChoice> {
  return { driver, reason: `asked for by ${askedBy}`, reports: [await probe(driver)] };
}

/**
 * Picks the first driver, best first, whose probe says that it is usable. Errors: HOST_UNSUPPORTED, with all
 * findings.
 */
export async function pickDriver(
  probe: Probe,
  candidates: readonly DriverName[] = DRIVER_NAMES.filter((name) => DRIVERS[name].isReal),
): Promise<DriverChoice & { readonly driver: DriverName }> {
  const reports: HostReport[] = [];
  for (const driver of candidates) {
    const report = await probe(driver);
    reports.push(report);
    if (!report.usable) continue;
    const passedOver = reports.slice(0, -1).map(({ driver: other }) => other);
    const why =
      passedOver.length === 0
        ? 'the best that there is, and usable here'
        : `usable here, unlike ${passedOver.join(', ')}`;
    return { driver, reason: `${why} (guest code runs by ${report.accelerator})`, reports };
  }
  throw unusable(reports);
}

function unusable(reports: readonly HostReport[]): VmRuntimeError {
  const errors = reports.flatMap(({ driver, findings }) =>
    findings.filter(({ severity }) => severity === 'error').map((finding) => ({ driver, ...finding })),
  );
  const said = errors.map(({ driver, message }) => `${driver}: ${message}`).join('; ');
  const remedies = errors.flatMap(({ remedy }) => (remedy === undefined ? [] : [remedy]));
  return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', `no driver can run VMs on this host: ${said}`, {
    details: { findings: errors.map(({ code }) => code) },
    ...(remedies.length === 0 ? {} : { remedy: [...new Set(remedies)].join('; or ') }),
  });
}
