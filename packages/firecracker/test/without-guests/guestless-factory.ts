import type { VmSpec } from '@microvm/runtime';
import { firecrackerFactory } from '../factory.js';

/** What every VM is whose guest cannot make progress: nobody is asked to flush. */
export const WITHOUT_GUEST: VmSpec = { agent: 'none', shutdownTimeoutMs: 0 };

/**
 * The real binaries without guests that make progress: enough for the suite of crashes, which asks no guest.
 */
export const guestlessFactory = {
  ...firecrackerFactory(
    { kvm: 'unchecked' },
    { deadlineFactor: 6, childModule: './without-guests/crash-child.ts' },
  ),
  spec: WITHOUT_GUEST,
  hasLiveGuests: false,
};
