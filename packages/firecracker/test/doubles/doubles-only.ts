import { fakeFirecrackerPath, fakeJailerPath } from '@microvm/fake-firecracker';
import type { Binaries } from '../factory.js';

/**
 * The doubles instead of Firecracker and its jailer: no KVM is asked for. No vitest in here: child processes
 * use it too.
 */
export const DOUBLES: Binaries = {
  firecrackerPath: fakeFirecrackerPath(),
  jailerPath: fakeJailerPath(),
  kvm: 'unchecked',
};
