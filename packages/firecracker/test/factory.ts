import { fileURLToPath } from 'node:url';
import type { ProviderFactory } from '@microvm/conformance';
import { COUNTING, endGuest } from '@microvm/conformance/linux-guest';
import { defaultImageSpec } from '@microvm/driver-kit';
import type { VmSpec } from '@microvm/runtime';
import { createFirecrackerRuntime, type FirecrackerOptions } from '../src/index.js';
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

/** Which binaries the VMs run on. */
export type Binaries = Pick<FirecrackerOptions, 'firecrackerPath' | 'jailerPath' | 'kvm'>;

/** The factory of the suite, for the real binaries and for the doubles. */
export function firecrackerFactory(
  binaries: Binaries,
  rest: Pick<ProviderFactory, 'deadlineFactor' | 'workload' | 'vsockLoopback' | 'restoresCommands'> & {
    readonly childModule: string;
  },
): ProviderFactory {
  return {
    open: async ({ stateDir, defaults, ...options }) => {
      if (stateDir === undefined) throw new Error('the Firecracker driver is durable');
      return createFirecrackerRuntime({
        ...options,
        ...binaries,
        stateDir,
        imageStore: suiteImageStore,
        defaults: { ...(await imageDefaults()), ...defaults },
      });
    },
    ...rest,
    childModule: {
      path: fileURLToPath(new URL(rest.childModule, import.meta.url)),
      execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
    },
    images: suiteImages,
    endGuest,
  };
}

/**
 * The real binaries, as the environment or PATH names them; everything is emulated where the suite has KVM
 * for them.
 */
export const realFactory = firecrackerFactory(
  {},
  { deadlineFactor: 10, workload: COUNTING, vsockLoopback: true, childModule: './real/crash-child.ts' },
);
