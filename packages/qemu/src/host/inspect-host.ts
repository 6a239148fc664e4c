import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { probeKvm, type KvmReport } from '@microvm/native';
import type { HostFinding, HostReport } from '@microvm/runtime';
import { findProgram, outputOf } from './find-program.js';
import { releaseOf, type Accelerator, type QemuHost } from './qemu-host.js';
import { stateDirFindings } from './state-dir.js';
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
  readonly host?: QemuHost;
}

const TESTED_RELEASE = '7.2';
const INSTALL_QEMU = 'install it: apt-get install qemu-system-x86, or name its path in `qemuPath`';

/** Finds out what QEMU and what accelerator VMs get on this host, and what is in the way. */
export async function inspectHost(options: InspectOptions): Promise<Inspection> {
  const findings: HostFinding[] = [];
  if (process.arch !== 'x64') findings.push(wrongArchitecture());
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
  return { report, host: { qemuPath, qemuVersion, accelerator, tscKhz, cpuFingerprint } };
}

interface Qemu {
  readonly path: string;
  readonly version: string;
}

async function inspectQemu(name: string, findings: HostFinding[]): Promise<Qemu | undefined> {
  const path = await findProgram(name, process.env['PATH'] ?? '');
  const version = /version ([\d.]+)/.exec((path && (await outputOf(path, ['--version']))) ?? '')?.[1];
  if (path === undefined || version === undefined) {
    const message = path === undefined ? `there is no "${name}"` : `"${path}" does not say its version`;
    findings.push({ code: 'qemu-missing', severity: 'error', message, remedy: INSTALL_QEMU });
    return undefined;
  }
  if (!/^microvm /m.test((await outputOf(path, ['-machine', 'help'])) ?? '')) {
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

function kvmFindings(kvm: KvmReport, severity: HostFinding['severity']): HostFinding[] {
  return kvm.findings.map(({ code, message, remedy }) => ({
    code: code.toLowerCase().replaceAll('_', '-'),
    severity,
    message,
    remedy,
  }));
}

function wrongArchitecture(): HostFinding {
  return {
    code: 'architecture-unsupported',
    severity: 'error',
    message: `this host is ${process.arch}; the driver's machine is x86-64`,
  };
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

/** What a guest sees of the processor that it runs on directly. */
async function readCpuFingerprint(): Promise<string> {
  const cpuinfo = await readFile('/proc/cpuinfo', 'utf8');
  const telling = /^(vendor_id|cpu family|model|model name|stepping|flags)\s*:.*$/gm;
  const first = cpuinfo.split('\n\n')[0] ?? '';
  return createHash('sha256')
    .update((first.match(telling) ?? []).join('\n'))
    .digest('hex')
    .slice(0, 16);
}
