import { fileURLToPath } from 'node:url';
import type { ProviderFactory } from '@microvm/conformance';
import { COUNTING, endGuest } from '@microvm/conformance/linux-guest';
import { defaultImageSpec } from '@microvm/driver-kit';
import type { VmSpec } from '@microvm/runtime';
import { createQemuRuntime } from '../src/index.js';
import { suiteImages, suiteImageStore } from './images.js';

let image: Promise<VmSpec> | undefined;

/**
 * The default image as spec fields: what a runtime finds out by itself, but once and not at each of a hundred
 * opens.
 */
export function imageDefaults(): Promise<VmSpec> {
  image ??= defaultImageSpec();
  return image;
}

export const qemuFactory: ProviderFactory = {
  open: async ({ stateDir, defaults, ...options }) => {
    if (stateDir === undefined) throw new Error('the QEMU driver is durable');
    return createQemuRuntime({
      ...options,
      stateDir,
      imageStore: suiteImageStore,
      defaults: { ...(await imageDefaults()), ...defaults },
    });
  },
  deadlineFactor: 6,
  childModule: {
    path: fileURLToPath(new URL('./crash-child.ts', import.meta.url)),
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
  },
  workload: COUNTING,
  vsockLoopback: true,
  images: suiteImages,
  endGuest,
};
