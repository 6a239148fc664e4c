import {
  architectureFindings,
  findProgram,
  kvmFindings,
  orHostFailure,
  outputOfProgram,
  readCpuFingerprint,
  stateDirFindings,
} from '@microvm/driver-kit';
import { probeKvm } from '@microvm/native';
import type { HostFinding, HostReport } from '@microvm/runtime';
import { releaseOf, type Accelerator, type HostFacts } from './host-facts.js';
import { readTscKhz } from './tsc.js';

export interface InspectOptions {
  /** A path, or a name to look up in PATH. */
  readonly qemuPath: string;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  readonly stateDir: string;
}

export interface Inspection {
  readonly report: HostReport;
  /** Absent when VMs cannot run here. */
  readonly hostFacts?: HostFacts;
}

const TESTED_RELEASE = '7.2';
const INSTALL_QEMU = 'install it: apt-get install qemu-system-x86, or name its path in `qemuPath`';

/** Finds out what QEMU and what accelerator VMs get on this host, and what is in the way. */
export function inspectHost(options: InspectOptions): Promise<Inspection> {
  return orHostFailure(inspect(options));
}

async function inspect(options: InspectOptions): Promise<Inspection> {
  const findings = architectureFindings();
  const qemu = await inspectQemu(options.qemuPath, findings);
  const accelerator = await chooseAccelerator(options.accelerator, findings);
  const tscKhz = readTscKhz();
  if (accelerator === 'tcg' && tscKhz === undefined) findings.push(tscUnknown());
  findings.push(...(await stateDirFindings(options.stateDir)));
  const usable = findings.every(({ severity }) => severity !== 'error');
  const report: HostReport = {
    driver: 'qemu',
    usable,
    accelerator,
    findings,
    ...(qemu === undefined ? {} : { vmmVersion: qemu.version }),
  };
  if (!usable || qemu === undefined) return { report };
  const { path: qemuPath, version: qemuVersion } = qemu;
  const cpuFingerprint = await readCpuFingerprint();
  return { report, hostFacts: { qemuPath, qemuVersion, accelerator, tscKhz, cpuFingerprint } };
}

interface Qemu {
  readonly path: string;
  readonly version: string;
}

async function inspectQemu(name: string, findings: HostFinding[]): Promise<Qemu | undefined> {
  const path = await findProgram(name, process.env['PATH'] ?? '');
  const version = /version ([\d.]+)/.exec((path && (await outputOfProgram(path, ['--version']))) ?? '')?.[1];
  if (path === undefined || version === undefined) {
    const message = path === undefined ? `there is no "${name}"` : `"${path}" does not say its version`;
    findings.push({ code: 'qemu-missing', severity: 'error', message, remedy: INSTALL_QEMU });
    return undefined;
  }
  if (!/^microvm /m.test((await outputOfProgram(path, ['-machine', 'help'])) ?? '')) {
    findings.push({
      code: 'qemu-without-microvm',
      severity: 'error',
      message: `"${path}" has no machine "microvm"`,
      remedy: INSTALL_QEMU,
    });
  }
  if (releaseOf(version) !== TESTED_RELEASE) {
    findings.push({
      code: 'qemu-version-untested',
      severity: 'warning',
      message: `QEMU ${version}: this driver was run on ${TESTED_RELEASE}`,
    });
  }
  return { path, version };
}

async function chooseAccelerator(
  wanted: InspectOptions['accelerator'],
  findings: HostFinding[],
): Promise<Accelerator> {
  const kvm = wanted === 'tcg' ? undefined : await probeKvm();
  if (kvm?.usable === true) return 'kvm';
  if (kvm !== undefined) findings.push(...kvmFindings(kvm, wanted === 'kvm' ? 'error' : 'info'));
  if (wanted === 'kvm') return 'kvm';
  findings.push({
    code: 'emulated',
    severity: 'info',
    message: 'guest code is emulated (TCG): everything works, about ten times slower than with KVM',
  });
  return 'tcg';
}

function tscUnknown(): HostFinding {
  return {
    code: 'tsc-frequency-unknown',
    severity: 'warning',
    message:
      "the frequency of the host's clock is unknown: an emulated boot may hang, and is then made again",
    remedy: 'let this user read /dev/kmsg, or name it in bootArgs: tsc_early_khz=<kHz>',
  };
}
