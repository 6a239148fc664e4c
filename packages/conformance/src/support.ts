import { isLive, type Capabilities, type VmState, type VmVerb } from '@microvm/runtime';
import type { JobMethod } from './calls.js';

/** Whether `snapshotVm` works on a VM in this state, as far as the state table allows it. */
export function canSnapshot(capabilities: Capabilities, state: VmState): boolean {
  return isLive(state) ? capabilities.memorySnapshot : capabilities.diskSnapshot;
}

type IsSupported = (capabilities: Capabilities, state: VmState) => boolean;

/** The verbs that need a capability; the others every provider has. */
const NEEDS: Partial<Readonly<Record<VmVerb, IsSupported>>> = {
  pauseVm: ({ pause }) => pause,
  resumeVm: ({ pause }) => pause,
  renameVm: ({ rename }) => rename,
  snapshotVm: canSnapshot,
  setEnv: ({ guestAgent }) => guestAgent,
  setSecret: ({ guestAgent }) => guestAgent,
  deleteSecret: ({ guestAgent }) => guestAgent,
};

/** Whether the provider claims to have the verb; the refusals of what it lacks are tests of their own. */
export function isVerbSupported(capabilities: Capabilities, verb: VmVerb, state: VmState): boolean {
  return NEEDS[verb]?.(capabilities, state) ?? true;
}

/** The same for every method that is a job. */
export function isMethodSupported(capabilities: Capabilities, method: JobMethod, state: VmState): boolean {
  if (method === 'createVm' || method === 'createVmWithSpec') return true;
  if (method === 'deleteSnapshot' || method === 'verifySnapshot') {
    return capabilities.memorySnapshot || capabilities.diskSnapshot;
  }
  return isVerbSupported(capabilities, method, state);
}
