import { VmRuntimeError } from '@microvm/runtime';

/** What only newer agents can do was asked of a guest that was restored with the agent of its snapshot. */
export function tooOld(feature: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_UNSUPPORTED', `${feature}: the guest’s agent speaks protocol 1`, {
    details: { feature, availableIn: 'guests whose agent speaks protocol 2' },
    remedy:
      'the guest was restored with the agent of an older version: boot the VM anew, and make its snapshot again',
  });
}
