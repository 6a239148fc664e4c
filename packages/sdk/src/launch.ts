import { invalidArgument, isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import type { OperationOptions } from '@microvm/runtime';
import type { Context } from './context.js';
import { remainingMs } from './deadline.js';
import { generateId } from './generate-id.js';
import type { CreateOptions, CreateSpec } from './options.js';
import { Vm } from './vm.js';

/**
 * Creates a VM and boots it, unless a snapshot brought it up already. A VM that does not start is not left
 * behind.
 */
export async function launchVm(context: Context, spec: CreateSpec, options: CreateOptions = {}): Promise<Vm> {
  const { vmId = generateId('vm'), start = true, ...vmSpec } = spec;
  if (typeof start !== 'boolean') throw invalidArgument('spec.start', 'true or false');
  const startedAt = performance.now();
  const { runtime, alive } = context;
  const view = await alive.during(runtime.createVmWithSpec(vmId, vmSpec, options));
  const vm = new Vm(context, view);
  if (!start || view.state !== 'created') return vm;
  try {
    await vm.start(withRemainingTime(options, startedAt));
    return vm;
  } catch (error) {
    throw await withoutVm(vm, error);
  }
}

function withRemainingTime(options: CreateOptions, startedAt: number): OperationOptions {
  if (options.timeoutMs === undefined) return options;
  return { ...options, timeoutMs: remainingMs(options.timeoutMs, startedAt) };
}

/**
 * Destroys the VM and answers with the error to throw: the first one, with what went wrong on the way out as
 * its cause.
 */
async function withoutVm(vm: Vm, error: unknown): Promise<unknown> {
  try {
    await vm.destroy();
    return error;
  } catch (cleanupError) {
    // An abort has to reject with the signal's own reason, whatever that is: nothing can be added to it.
    if (!isVmRuntimeError(error)) return error;
    return new VmRuntimeError(error.code, error.message, {
      details: error.details,
      remedy: error.remedy,
      cause: new AggregateError([error, cleanupError], 'the VM did not start, and could not be removed'),
    });
  }
}
