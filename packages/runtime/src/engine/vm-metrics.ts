import type { DriverMetrics, VmMetrics } from '../contract/metrics.js';
import { isLive } from '../contract/states.js';
import { featureOf } from './driver-features.js';
import type { EngineContext } from './engine-context.js';
import type { Vm } from './fleet.js';
import { translateError } from './translate-error.js';

const NOTHING = { vmm: { counters: {}, gauges: {} } };

/**
 * A VM's metrics. The call takes no turn on the VM, so a job may be at work, and the VM may be gone or
 * renamed when the driver answers.
 */
export async function metricsOf(
  context: EngineContext,
  vm: Vm,
  signal: AbortSignal | undefined,
): Promise<VmMetrics | undefined> {
  signal?.throwIfAborted();
  const { state } = vm.record;
  const metrics = state === 'destroyed' ? NOTHING : await ask(context, vm, signal);
  const { vmId, instanceId, state: now } = vm.record;
  return { vmId, instanceId, state: now, ...metrics };
}

async function ask(
  { driver, calls }: EngineContext,
  vm: Vm,
  signal: AbortSignal | undefined,
): Promise<DriverMetrics> {
  const { vmId, state } = vm.record;
  try {
    return await featureOf(driver, 'metering').metrics(calls.driverVm(vm), { isLive: isLive(state), signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw translateError(error, `metricsVm "${vmId}"`);
  }
}
