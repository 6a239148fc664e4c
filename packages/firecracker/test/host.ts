import { VmmVersion } from '../src/api/version.js';
import type { HostFacts } from '../src/host/host-facts.js';

/** Reads a version that there is. */
export function versionOf(text: string): VmmVersion {
  const found = VmmVersion.find(text);
  if (found === undefined) throw new Error(`no version in "${text}"`);
  return found;
}

/** A host that has all, with this Firecracker. */
export function hostFacts(version = '1.17.0', extra: Partial<HostFacts> = {}): HostFacts {
  return {
    firecrackerPath: '/f',
    execFile: '/e',
    jailerPath: '/j',
    version: versionOf(version),
    snapshotFormat: '11.0.0',
    kernelRelease: '6.1.0-31-amd64',
    cpuFingerprint: 'x',
    cgroupMount: '/c',
    ...extra,
  };
}
