import {
  isVmRuntimeError,
  type ErrorCode,
  type VmRuntime,
  type VmRuntimeError,
  type VmView,
} from '@microvm/runtime';
import { expect } from 'vitest';

/** The error with which a call rejects. Fails when the call resolves. */
export async function rejection(call: Promise<unknown>): Promise<unknown> {
  const outcome = await call.then(
    (value: unknown) => ({ resolved: true, value }),
    (error: unknown) => ({ resolved: false, value: error }),
  );
  if (outcome.resolved)
    expect.fail(`expected a rejection, but it resolved with ${JSON.stringify(outcome.value)}`);
  return outcome.value;
}

/** The error that a call is refused with. Fails for every other outcome. */
export async function refusal<C extends ErrorCode>(
  code: C,
  call: Promise<unknown>,
): Promise<VmRuntimeError<C>> {
  const error = await rejection(call);
  if (!isVmRuntimeError(error, code))
    throw new Error(`expected ${code}, but it rejected with ${text(error)}`, { cause: error });
  return error;
}

function text(error: unknown): string {
  const code = isVmRuntimeError(error) ? `${error.code}: ` : '';
  return error instanceof Error ? `${code}${error.message}` : JSON.stringify(error);
}

/**
 * How calls that were made at once ended: the values of those that resolved, and the codes of those that did
 * not.
 */
export async function outcomes<T>(calls: readonly Promise<T>[]): Promise<{ values: T[]; codes: string[] }> {
  const settled = await Promise.allSettled(calls);
  return {
    values: settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
    codes: settled.flatMap((one) => (one.status === 'rejected' ? [codeOf(one.reason)] : [])),
  };
}

function codeOf(error: unknown): string {
  return isVmRuntimeError(error) ? error.code : String(error);
}

/** Runs what should have no effect, and fails when any VM's view differs afterwards. */
export async function withoutEffect<T>(runtime: VmRuntime, action: () => Promise<T>): Promise<T> {
  const before = await runtime.listVms();
  const result = await action();
  expect(await runtime.listVms(), 'the views of all VMs').toEqual(before);
  return result;
}

/** The view of a VM that must exist. */
export async function viewOf(runtime: VmRuntime, vmId: string): Promise<VmView> {
  const view = await runtime.getVm(vmId);
  if (view === undefined) throw new Error(`getVm("${vmId}") answered undefined`);
  return view;
}

export async function stateOf(runtime: VmRuntime, vmId: string): Promise<string> {
  return (await runtime.getVm(vmId))?.state ?? 'unknown';
}
