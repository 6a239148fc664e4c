import { cgroupMetrics, processMetrics } from '@microvm/driver-kit';
import type { DriverMetrics, MetricsRequest } from '@microvm/runtime';
import type { FirecrackerContext } from '../vm/context.js';
import type { FirecrackerVm } from '../vm/firecracker-vm.js';
import type { LiveVm } from '../vm/live-vm.js';

const FLUSH_TIMEOUT_MS = 2000;

/**
 * A VM's metrics. A guest's Firecracker is first asked to write out what it counts; if it does not answer, as
 * in the middle of a dump, its last metrics are returned.
 */
export async function vmMetrics(
  { metrics }: FirecrackerContext,
  vm: FirecrackerVm,
  live: LiveVm | undefined,
  { isLive, signal }: MetricsRequest,
): Promise<DriverMetrics> {
  if (isLive && live !== undefined) await flush(live, signal);
  const [vmm, process, cgroup] = await Promise.all([
    metrics.of(vm).read(),
    live === undefined ? undefined : processMetrics(live.identity),
    live === undefined || vm.cgroup === undefined ? undefined : cgroupMetrics(vm.cgroup),
  ]);
  return { vmm, ...(cgroup === undefined ? {} : { cgroup }), ...(process === undefined ? {} : { process }) };
}

/** Has Firecracker count up to now, if it can be had in time. */
export async function flush(
  live: LiveVm,
  signal: AbortSignal | undefined,
  timeoutMs = FLUSH_TIMEOUT_MS,
): Promise<void> {
  await live.flushMetrics({ signal, timeoutMs }).catch(() => undefined);
  signal?.throwIfAborted();
}
