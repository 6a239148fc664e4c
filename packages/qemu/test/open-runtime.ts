import { openForTest as open } from '@microvm/conformance';
import type { VmRuntime } from '@microvm/runtime';
import { createQemuRuntime, type QemuOptions } from '../src/index.js';
import { imageDefaults } from './factory.js';

export async function openIn(
  stateDir: string,
  options: Omit<QemuOptions, 'stateDir'> = {},
): Promise<VmRuntime> {
  const defaults = { ...(await imageDefaults()), ...options.defaults };
  return createQemuRuntime({ ...options, defaults, stateDir });
}

/** A runtime for one test; afterwards its VMs and its folder are gone. */
export function openForTest({ stateDir, ...options }: QemuOptions = {}): Promise<VmRuntime> {
  return open((folder) => openIn(folder, options), stateDir);
}
