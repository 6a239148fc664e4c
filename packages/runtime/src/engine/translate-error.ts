import { AssertionError } from 'node:assert';
import { isVmRuntimeError, VmRuntimeError } from '../contract/errors.js';

const NO_SPACE = ['ENOSPC', 'EDQUOT'];

/** Whether the system refused a write because the disk is full. */
export function isNoSpace(error: unknown): boolean {
  return NO_SPACE.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');
}

/**
 * Translates what a driver or the host threw, once, at the engine's edge. Errors of the contract pass, as do
 * a caller's abort reason (`passing`) and broken assertions: those are bugs, and stay visible as such.
 */
export function translateError(error: unknown, operation: string, passing?: unknown): unknown {
  if (isVmRuntimeError(error) || error instanceof AssertionError) return error;
  if (passing !== undefined && error === passing) return error;
  const system = error as NodeJS.ErrnoException | undefined;
  const message = error instanceof Error ? error.message : String(error);
  if (isNoSpace(error)) {
    return new VmRuntimeError('MICROVM_NO_SPACE', `${operation}: ${message}`, {
      details: { path: system?.path ?? 'unknown' },
      cause: error,
    });
  }
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `${operation}: ${message}`, {
    details: system?.code === undefined ? { operation } : { operation, errno: system.code },
    cause: error,
  });
}
