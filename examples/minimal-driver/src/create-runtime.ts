import { stateContent, stateDirFindings } from '@microvm/driver-kit';
import * as native from '@microvm/native';
import { openRuntime, type CommonOptions, type HostReport, type VmRuntime } from '@microvm/runtime';
import { MinimalDriver } from './driver.js';

export interface MinimalOptions extends CommonOptions {
  readonly stateDir: string;
}

/**
 * A runtime whose VMs are processes of `vmm.mjs`. Errors: STATE_LOCKED, STATE_CORRUPT, NO_SPACE,
 * HOST_FAILURE.
 */
export function createMinimalRuntime(options: MinimalOptions): Promise<VmRuntime> {
  const { stateDir } = options;
  const driver = new MinimalDriver({ stateDir, probe: () => probe(stateDir) });
  return openRuntime({ ...options, driver, hostCalls: native, content: stateContent(stateDir) });
}

async function probe(stateDir: string): Promise<HostReport> {
  const findings = await stateDirFindings(stateDir);
  const usable = findings.every(({ severity }) => severity !== 'error');
  return { driver: 'minimal', usable, accelerator: 'none', findings };
}
