import { readFile } from 'node:fs/promises';
import { VmRuntimeError } from '@microvm/runtime';
import { ignoreAbsent } from '../host/system-error.js';

export const OWN_KERNEL_REMEDY =
  'install the npm package @microvm/default-image, or give `kernelPath` (a Linux kernel for x86-64) and ' +
  '`initrdPath` (with the agent as /init) in the spec; without that package the default image can be made on ' +
  'Debian for x86-64 only';

export interface HostFacts {
  /** Text of /etc/os-release; undefined when there is none. */
  readonly osRelease: string | undefined;
  /** Node's name of the architecture. */
  readonly arch: string;
}

export async function readHostFacts(): Promise<HostFacts> {
  const osRelease = await readFile('/etc/os-release', 'utf8').catch(ignoreAbsent);
  return { osRelease, arch: process.arch };
}

/** Throws `MICROVM_HOST_UNSUPPORTED` unless the default image can be made on such a host. */
export function requireDebian({ osRelease = '', arch }: HostFacts): void {
  const id = /^ID=["']?([^"'\n]*)["']?$/m.exec(osRelease)?.[1] ?? 'unknown';
  if (id === 'debian' && arch === 'x64') return;
  const finding = id === 'debian' ? 'not-x86-64' : 'not-debian';
  throw new VmRuntimeError(
    'MICROVM_HOST_UNSUPPORTED',
    `make the default image: this host is "${id}" on ${arch}, expected debian on x64`,
    { details: { findings: [finding] }, remedy: OWN_KERNEL_REMEDY },
  );
}
