import { VmRuntimeError } from '@microvm/runtime';

/** The agent cannot be asked (any more). */
export function unreachable(vmId: string, reason: string, cause?: unknown): VmRuntimeError {
  return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `reach the agent of VM "${vmId}": ${reason}`, {
    details: { vmId, reason },
    ...(cause === undefined ? {} : { cause }),
  });
}
