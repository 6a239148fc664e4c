import { release as linuxRelease } from 'node:os';
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
import { OLDEST_VERSION, TESTED_RELEASES, VmmVersion } from '../api/version.js';
import { findCgroupMount } from './cgroups.js';
import { versionFindings } from './version-findings.js';
import { execFileIn, type HostFacts } from './host-facts.js';
import { linkageOf } from './linkage.js';
import { mountFindings, type MountFindings } from './mount-findings.js';

export interface InspectOptions {
  /** Paths, or names to look up in PATH. */
  readonly firecrackerPath: string;
  readonly jailerPath: string;
  /** Whether a VM is jailed when its spec does not say so. */
  readonly jail: boolean;
  readonly kvm: 'required' | 'unchecked';
  readonly stateDir: string;
}

type Program = FoundProgram<VmmVersion>;

const INSTALL =
  'install a release of Firecracker with its jailer, or name the paths in `firecrackerPath`, `jailerPath`';

/** Finds out what Firecracker, jailer and KVM VMs get on this host, and what is in the way. */
export function inspectHost(options: InspectOptions): Promise<Inspection<HostFacts>> {
  const { stateDir } = options;
  return inspectHostFor({ driver: 'firecracker', stateDir }, (findings) => look(options, findings));
}

async function look(options: InspectOptions, findings: HostFinding[]): Promise<HostLook<HostFacts>> {
  const firecracker = await findVmm(options.firecrackerPath, findings);
  const mount = await mountFindings(options.stateDir);
  const jailer = await findJailer(options, { firecracker, mount }, findings);
  if (options.kvm === 'required') findings.push(...kvmFindings(await probeKvm(), 'error'));
  findings.push(...mount.always);
  if (firecracker === undefined) return { accelerator: 'kvm', vmm: undefined };
  findings.push(...versionFindings(firecracker.version, linuxRelease()));
  const facts = async (): Promise<HostFacts> => ({
    firecrackerPath: firecracker.path,
    execFile: execFileIn(options.stateDir),
    jailerPath: jailer?.path,
    version: firecracker.version,
    snapshotFormat: await snapshotFormatOf(firecracker.path),
    kernelRelease: linuxRelease(),
    cpuFingerprint: await readCpuFingerprint(),
    cgroupMount: isRoot() ? await findCgroupMount() : undefined,
  });
  return { accelerator: 'kvm', vmm: { version: firecracker.version.text, facts } };
}

async function snapshotFormatOf(path: string): Promise<string | null> {
  return VmmVersion.find((await outputOfProgram(path, ['--snapshot-version'])) ?? '')?.text ?? null;
}

async function findVmm(name: string, findings: HostFinding[]): Promise<Program | undefined> {
  const found = await findVersioned(name, 'firecracker', findings);
  if (found === undefined) return undefined;
  const { version } = found;
  if (!version.isAtLeast(OLDEST_VERSION)) {
    findings.push({
      code: 'firecracker-too-old',
      severity: 'error',
      message: `Firecracker ${version.text}: this driver speaks to ${OLDEST_VERSION} and newer`,
      remedy: INSTALL,
    });
  } else if (!TESTED_RELEASES.includes(version.release)) {
    findings.push({
      code: 'firecracker-version-untested',
      severity: 'warning',
      message: `Firecracker ${version.text}: this driver was run on ${TESTED_RELEASES.join(', ')}`,
    });
  }
  return found;
}

async function findJailer(
  { jailerPath, jail }: InspectOptions,
  { firecracker, mount }: { readonly firecracker: Program | undefined; readonly mount: MountFindings },
  findings: HostFinding[],
): Promise<Program | undefined> {
  // Without a jail as the default, what is in its way is a matter of VMs that ask for one.
  const own = [...mount.jailed];
  const jailer = isRoot() ? await findVersioned(jailerPath, 'jailer', own) : undefined;
  if (!isRoot()) own.push(needsRoot());
  if (firecracker !== undefined) own.push(...(await linkageFindings(firecracker.path)));
  if (jailer !== undefined && jailer.version.text !== firecracker?.version.text) {
    findings.push({
      code: 'jailer-version-differs',
      severity: 'warning',
      message: `the jailer is ${jailer.version.text}, Firecracker is ${firecracker?.version.text ?? 'missing'}`,
      remedy: INSTALL,
    });
  }
  if (jail) findings.push(...own);
  return own.length === 0 ? jailer : undefined;
}

function findVersioned(
  name: string,
  what: 'firecracker' | 'jailer',
  findings: HostFinding[],
): Promise<Program | undefined> {
  const versionOf = (text: string): VmmVersion | undefined => VmmVersion.find(text);
  return findVersionedProgram({ name, versionOf, code: `${what}-missing`, remedy: INSTALL }, findings);
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

function needsRoot(): HostFinding {
  return {
    code: 'jail-needs-root',
    severity: 'error',
    message: 'the jailer needs root, this process has not',
    remedy: 'run as root or, for development, without a jail: `defaults: { jail: false }`',
  };
}

async function linkageFindings(path: string): Promise<HostFinding[]> {
  const linkage = await linkageOf(path);
  if (linkage === 'static') return [];
  const problem =
    linkage === 'dynamic'
      ? 'is linked dynamically: in a jail its libraries are not there'
      : 'is no ELF program: in a jail there is no interpreter for it';
  return [
    { code: 'firecracker-not-static', severity: 'error', message: `"${path}" ${problem}`, remedy: INSTALL },
  ];
}
