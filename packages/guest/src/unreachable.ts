import { type NamedVm, VmRuntimeError } from '@microvm/runtime';

/** What of an error differs from case to case. */
export interface UnreachableInit {
  readonly cause?: unknown;
  readonly remedy?: string;
}

/**
 * Why an agent cannot be asked any more. The error is made when somebody asks: by then the VM may have
 * another name.
 */
export type Loss = () => VmRuntimeError;

/** The agent cannot be asked (any more). */
export function unreachable({ vmId }: NamedVm, reason: string, init: UnreachableInit = {}): VmRuntimeError {
  return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `reach the agent of VM "${vmId}": ${reason}`, {
    details: { vmId, reason },
    ...init,
  });
}
