import type { HostFinding } from '@microvm/runtime';
import type { VmmVersion } from '../api/version.js';
import { isLinuxAtLeast } from './linux-release.js';

/** What a user should know about this release of Firecracker on this Linux. */
export function versionFindings(version: VmmVersion, kernelRelease: string): HostFinding[] {
  const findings: HostFinding[] = [];
  if (!version.supports('vsock-pause')) {
    findings.push({
      code: 'firecracker-vsock-pause-broken',
      severity: 'warning',
      message: `Firecracker ${version.text}: a pause can leave the guest's vsock deaf, so a VM with vsock is neither paused nor captured with memory`,
      remedy: 'use Firecracker 1.16.2, 1.17.0 or newer, or one before 1.16.0',
    });
  }
  if (!version.isAtLeast('1.16.0')) {
    findings.push({
      code: 'firecracker-console-after-restore',
      severity: 'info',
      message: `Firecracker ${version.text}: the serial console of a restored VM may stay silent`,
      remedy: 'use Firecracker 1.16 or newer where the console of restored VMs matters',
    });
  }
  if (!isLinuxAtLeast(kernelRelease, 6, 7)) {
    findings.push({
      code: 'linux-slow-young-snapshots',
      severity: 'info',
      message: `Linux ${kernelRelease}: a guest that was captured within a second of its boot needs about a second more to resume`,
      remedy: 'capture a guest that has run for some seconds, or use Linux 6.7 or newer',
    });
  }
  return findings;
}
