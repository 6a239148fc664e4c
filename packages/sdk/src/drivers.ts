import { isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import type { CommonOptions, HostFinding, HostReport, VmRuntime } from '@microvm/runtime';
import { DRIVER_NAMES, type DriverName } from './options.js';

interface DriverEntry {
  /** It runs real guests: it may be picked without being asked for, and has a state directory. */
  readonly isReal: boolean;
  open(options: CommonOptions): Promise<VmRuntime>;
}

/** Loaded when they are needed: a driver that is not used costs nothing. */
export const DRIVERS: Readonly<Record<DriverName, DriverEntry>> = {
  qemu: {
    isReal: true,
    open: async (options) => (await import('@microvm/qemu')).createQemuRuntime(options),
  },
  'in-memory': {
    isReal: false,
    open: async (options) => (await import('@microvm/in-memory')).createInMemoryRuntime(options),
  },
};

/** The driver that runs the VMs, and what was found out about each that was looked at. */
export interface DriverChoice {
  readonly driver: string;
  /** Why this one, as a sentence for people. */
  readonly reason: string;
  /** Of each driver that was looked at, in the order of preference. */
  readonly reports: readonly HostReport[];
}

export interface OpenedDriver {
  readonly runtime: VmRuntime;
  readonly choice: DriverChoice;
}

type Opener = (driver: DriverName) => Promise<VmRuntime>;

/** Opens the driver that was asked for, whatever its probe says: its own errors say it better. */
export async function openDriver(driver: DriverName, askedBy: string, open: Opener): Promise<OpenedDriver> {
  const runtime = await open(driver);
  return { runtime, choice: { driver, reason: `asked for by ${askedBy}`, reports: [await runtime.probe()] } };
}

/** Opens the first driver, best first, whose probe says that it is usable. Errors: HOST_UNSUPPORTED, with all findings. */
export async function openBestDriver(
  open: Opener,
  candidates: readonly DriverName[] = DRIVER_NAMES.filter((name) => DRIVERS[name].isReal),
): Promise<OpenedDriver> {
  const reports: HostReport[] = [];
  for (const driver of candidates) {
    const attempt = await tryDriver(driver, open);
    reports.push(attempt.report);
    if (attempt.runtime === undefined) continue;
    const passedOver = reports.slice(0, -1).map((report) => report.driver);
    const reason =
      passedOver.length === 0
        ? `the best driver there is, and usable here (${attempt.report.accelerator})`
        : `usable here (${attempt.report.accelerator}), unlike ${passedOver.join(', ')}`;
    return { runtime: attempt.runtime, choice: { driver, reason, reports } };
  }
  throw unusable(reports);
}

async function tryDriver(
  driver: DriverName,
  open: Opener,
): Promise<{ readonly report: HostReport; readonly runtime?: VmRuntime }> {
  try {
    const runtime = await open(driver);
    const report = await runtime.probe();
    if (report.usable) return { report, runtime };
    await runtime.close();
    return { report };
  } catch (error) {
    if (!isVmRuntimeError(error, 'MICROVM_HOST_UNSUPPORTED')) throw error;
    return { report: { driver, usable: false, accelerator: 'none', findings: findingsOf(error) } };
  }
}

function findingsOf(error: VmRuntimeError<'MICROVM_HOST_UNSUPPORTED'>): HostFinding[] {
  const { message, remedy } = error;
  return error.details.findings.map((code) => ({ code, severity: 'error', message, remedy }));
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
