import type { HostReport } from '@microvm/runtime';
import { VMM_VERSION } from './check-snapshot.js';

/** Memory is everywhere: the driver is usable on every host. */
export function reportHost(driver: string): HostReport {
  const message = 'VMs are simulated in this process: no guest code is executed';
  const findings = [{ code: 'simulated-guests', severity: 'info', message }] as const;
  return { driver, usable: true, accelerator: 'none', vmmVersion: VMM_VERSION, findings };
}
