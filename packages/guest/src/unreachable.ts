import { VmRuntimeError } from '@microvm/runtime';

/** What of an error differs from case to case. */
export interface UnreachableInit {
  readonly cause?: unknown;
  readonly remedy?: string;
}

/** The agent cannot be asked (any more). */
export function unreachable(vmId: string, reason: string, init: UnreachableInit = {}): VmRuntimeError {
  return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `reach the agent of VM "${vmId}": ${reason}`, {
    details: { vmId, reason },
    ...init,
  });
}
