import { open, stat } from 'node:fs/promises';
import { checkSpecFiles } from '@microvm/driver-kit';
import { netnsExists } from '@microvm/native';
import { invalidArgument, unsupported, type ResolvedVmSpec, type VmSpec } from '@microvm/runtime';
import type { HostFacts } from '../host/host-facts.js';
import { isLinuxAtLeast } from '../host/linux-release.js';
import { netnsOf } from '../host/vm-plan.js';
import { ROOT_DRIVE_ID } from './configuration.js';

const ELF_MAGIC = '7f454c46';

/**
 * Refuses what Firecracker, this release of it or this host would not take, before any effect. `given` is the
 * caller's part of the spec: a restored VM reads no file of a path.
 */
export async function checkSpec(hostFacts: HostFacts, spec: ResolvedVmSpec, given: VmSpec): Promise<void> {
  checkIds(spec);
  checkInterfaces(hostFacts, spec);
  checkSerial(hostFacts, spec);
  checkJail(hostFacts, spec);
  checkMachine(hostFacts, spec);
  await checkSpecFiles(spec, given);
  await checkNamespace(spec);
  if (given.restoreFrom === undefined) await checkKernel(hostFacts, spec);
}

function checkIds({ rootDrive, drives = [] }: ResolvedVmSpec): void {
  const index = drives.findIndex(({ driveId }) => driveId === ROOT_DRIVE_ID);
  if (rootDrive === undefined || index < 0) return;
  throw invalidArgument(
    `spec.drives[${index}].driveId`,
    `another id than "${ROOT_DRIVE_ID}", the root drive's`,
  );
}

function checkInterfaces({ version }: HostFacts, spec: ResolvedVmSpec): void {
  for (const [index, nic] of (spec.networkInterfaces ?? []).entries()) {
    // A network of the runtime's own is to come; a TAP of the caller's works.
    if (nic.hostDevName === undefined)
      throw unsupported(`spec.networkInterfaces[${index}] without hostDevName`);
    if (nic.mtu !== undefined && !version.supports('mtu')) {
      throw version.lacks('mtu', `spec.networkInterfaces[${index}].mtu`);
    }
  }
  netnsOf(spec);
  const known = new Set(spec.networkInterfaces?.map(({ ifaceId }) => ifaceId));
  const unknown = (spec.mmds?.networkInterfaces ?? []).findIndex((ifaceId) => !known.has(ifaceId));
  if (unknown >= 0)
    throw invalidArgument(`spec.mmds.networkInterfaces[${unknown}]`, 'an interface of the VM');
}

async function checkNamespace({ networkInterfaces = [] }: ResolvedVmSpec): Promise<void> {
  const index = networkInterfaces.findIndex(({ netnsPath }) => netnsPath !== undefined);
  const path = networkInterfaces[index]?.netnsPath;
  if (path === undefined || (await netnsExists(path))) return;
  const argument = `spec.networkInterfaces[${index}].netnsPath`;
  throw invalidArgument(
    argument,
    'the path of a network namespace',
    `${argument}: there is no network namespace at "${path}"`,
  );
}

function checkSerial({ version }: HostFacts, { serial }: ResolvedVmSpec): void {
  const limiter = serial?.rateLimiter;
  if (limiter === undefined) return;
  if (limiter.ops !== undefined) throw unsupported('spec.serial.rateLimiter.ops');
  if (!version.supports('serial-rate-limiter')) {
    throw version.lacks('serial-rate-limiter', 'spec.serial.rateLimiter');
  }
}

function checkJail(hostFacts: HostFacts, { jail, limits }: ResolvedVmSpec): void {
  if (jail === true && hostFacts.jailerPath === undefined)
    throw unsupported('spec.jail', 'a runtime with a jailer');
  if (limits !== undefined && hostFacts.cgroupMount === undefined) {
    throw unsupported('spec.limits', 'a host with cgroup v2');
  }
}

function checkMachine(
  { version, kernelRelease }: HostFacts,
  { hugePages, memSizeMib, cpuTemplate, balloon }: ResolvedVmSpec,
): void {
  const feature = 'cpu-templates-on-linux-6.13';
  const hasTemplate = cpuTemplate !== undefined && cpuTemplate !== 'None';
  if (hasTemplate && isLinuxAtLeast(kernelRelease, 6, 13) && !version.supports(feature)) {
    throw version.lacks(feature, `spec.cpuTemplate on Linux ${kernelRelease}`);
  }
  if (balloon?.freePageReporting === true && !version.supports('free-page-reporting')) {
    throw version.lacks('free-page-reporting', 'spec.balloon.freePageReporting');
  }
  if (hugePages === '2M' && memSizeMib % 2 === 1)
    throw invalidArgument('spec.memSizeMib', 'an even number with 2M pages');
}

async function checkKernel({ version }: HostFacts, { kernelPath }: ResolvedVmSpec): Promise<void> {
  if (kernelPath === undefined || version.supports('bzimage-kernel')) return;
  if ((await stat(kernelPath)).size < 4) return;
  const file = await open(kernelPath, 'r');
  try {
    const magic = Buffer.alloc(4);
    await file.read(magic, 0, 4, 0);
    if (magic.toString('hex') !== ELF_MAGIC)
      throw version.lacks('bzimage-kernel', 'a kernel that is no ELF file');
  } finally {
    await file.close();
  }
}
