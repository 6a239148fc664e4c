import type { VmMetrics } from '../contract/metrics.js';
import { isLive } from '../contract/states.js';
import type { Core } from './core.js';
import type { Vm } from './fleet.js';
import { translateError } from './translate-error.js';

const NOTHING = { vmm: { counters: {}, gauges: {} } };

/** A VM in figures. Takes no turn on the VM: its job may be at work, and the VM gone or renamed when the driver answers. */
export async function metricsOf(
  core: Core,
  vm: Vm,
  signal: AbortSignal | undefined,
): Promise<VmMetrics | undefined> {
  signal?.throwIfAborted();
  const { state } = vm.record;
  const figures = state === 'destroyed' ? NOTHING : await ask(core, vm, signal);
  const { vmId, instanceId, state: now } = vm.record;
  return { vmId, instanceId, state: now, ...figures };
}

async function ask(
  core: Core,
  vm: Vm,
  signal: AbortSignal | undefined,
): ReturnType<Core['driver']['metrics']> {
  const { vmId, state } = vm.record;
  try {
    return await core.driver.metrics(core.driverVm(vm), { isLive: isLive(state), signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw translateError(error, `metricsVm "${vmId}"`);
  }
}
