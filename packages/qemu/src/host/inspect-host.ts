import {
  findVersionedProgram,
  inspectHostFor,
  kvmFindings,
  outputOfProgram,
  readCpuFingerprint,
  type FoundProgram,
  type HostLook,
  type Inspection,
} from '@microvm/driver-kit';
import { probeKvm } from '@microvm/native';
import type { HostFinding } from '@microvm/runtime';
import { releaseOf, type Accelerator, type HostFacts } from './host-facts.js';
import { readTscKhz } from './tsc.js';

export interface InspectOptions {
  /** A path, or a name to look up in PATH. */
  readonly qemuPath: string;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  readonly stateDir: string;
}

const TESTED_RELEASE = '7.2';
const INSTALL_QEMU = 'install it: apt-get install qemu-system-x86, or name its path in `qemuPath`';

/** Finds out what QEMU and what accelerator VMs get on this host, and what is in the way. */
export function inspectHost(options: InspectOptions): Promise<Inspection<HostFacts>> {
  return inspectHostFor({ driver: 'qemu', stateDir: options.stateDir }, (findings) =>
    look(options, findings),
  );
}

async function look(options: InspectOptions, findings: HostFinding[]): Promise<HostLook<HostFacts>> {
  const qemu = await inspectQemu(options.qemuPath, findings);
  const accelerator = await chooseAccelerator(options.accelerator, findings);
  const tscKhz = readTscKhz();
  if (accelerator === 'tcg' && tscKhz === undefined) findings.push(tscUnknown());
  if (qemu === undefined) return { accelerator, vmm: undefined };
  const { path: qemuPath, version: qemuVersion } = qemu;
  const facts = async (): Promise<HostFacts> => {
    const cpuFingerprint = await readCpuFingerprint();
    return { qemuPath, qemuVersion, accelerator, tscKhz, cpuFingerprint };
  };
  return { accelerator, vmm: { version: qemuVersion, facts } };
}

async function inspectQemu(name: string, findings: HostFinding[]): Promise<FoundProgram<string> | undefined> {
  const versionOf = (text: string): string | undefined => /version ([\d.]+)/.exec(text)?.[1];
  const found = await findVersionedProgram(
    { name, versionOf, code: 'qemu-missing', remedy: INSTALL_QEMU },
    findings,
  );
  if (found === undefined) return undefined;
  const { path, version } = found;
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
  return found;
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
