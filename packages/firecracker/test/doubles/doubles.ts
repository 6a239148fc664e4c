import { countByReading, PANIC_COMMAND } from '@microvm/fake-firecracker';
import { openForTest as open, type GuestEnding, type ProviderFactory } from '@microvm/conformance';
import { endGuest } from '@microvm/conformance/linux-guest';
import type { VmRuntime } from '@microvm/runtime';
import { createFirecrackerRuntime, type FirecrackerOptions } from '../../src/index.js';
import { firecrackerFactory, imageDefaults } from '../factory.js';
import { suiteImages } from '../images.js';
import { DOUBLES } from './doubles-only.js';

/** The factory of the suite on the doubles. */
export const doubleFactory: ProviderFactory = {
  ...firecrackerFactory(DOUBLES, {
    deadlineFactor: 6,
    // A restored double begins with an agent of its own.
    restoresCommands: false,
    workload: countByReading,
    childModule: './doubles/crash-child.ts',
  }),
  // The fake opens the disks of a guest, and does not read them.
  images: { ...suiteImages, boot: false },
  endGuest: endDouble,
};

/** As `endGuest`; the kernel that panics is the double's own, and not reached through /proc. */
export async function endDouble(runtime: VmRuntime, vmId: string, how: GuestEnding): Promise<void> {
  if (how !== 'panic') return endGuest(runtime, vmId, how);
  const command = (await runtime.guest(vmId)).exec({ argv: ['sh', '-c', PANIC_COMMAND] });
  await command.result.catch(() => undefined); // it may be gone before it answers
}

/** A runtime on the doubles for one test; afterwards its VMs and its folder are gone. */
export function openDoubles({ stateDir, ...options }: FirecrackerOptions = {}): Promise<VmRuntime> {
  return open(async (folder) => {
    const defaults = { ...(await imageDefaults()), ...options.defaults };
    return createFirecrackerRuntime({ ...DOUBLES, ...options, defaults, stateDir: folder });
  }, stateDir);
}
