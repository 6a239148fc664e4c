import type { VmRuntime } from '@microvm/runtime';
import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

/**
 * The runtime of a child process: its first argument names the state directory, its second one, if there is
 * one, the registry of user ids. No vitest in here.
 */
export async function openAsOwner(): Promise<VmRuntime> {
  const [stateDir = '', registryDir] = process.argv.slice(2);
  return createFirecrackerRuntime({ ...DOUBLES, stateDir, registryDir, defaults: await imageDefaults() });
}
