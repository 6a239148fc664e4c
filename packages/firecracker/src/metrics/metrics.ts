import { cgroupMetrics, processMetrics } from '@microvm/driver-kit';
import type { CgroupMetrics, DriverMetrics, DriverVm, MetricsRequest } from '@microvm/runtime';
import { readPlan } from '../host/vm-plan.js';
import type { FirecrackerContext } from '../vm/context.js';
import type { LiveVm } from '../vm/live-vm.js';

const FLUSH_TIMEOUT_MS = 2000;

/**
 * A VM in figures. A guest's Firecracker is first asked to write out what it counts; one that does not answer, as in the middle of a dump, is
 * told of by its last line.
 */
export async function vmMetrics(
  context: FirecrackerContext,
  vm: DriverVm,
  { isLive, signal }: MetricsRequest,
): Promise<DriverMetrics> {
  const live = context.table.get(vm.instanceId);
  const present = live === undefined || live.hasEnded ? undefined : live;
  if (isLive && present !== undefined) await flush(present, signal);
  const [vmm, process, cgroup] = await Promise.all([
    context.metrics.of(vm).read(),
    present === undefined ? undefined : processMetrics(present.identity),
    present === undefined ? undefined : cgroupOf(context, vm),
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

async function cgroupOf({ cgroups }: FirecrackerContext, vm: DriverVm): Promise<CgroupMetrics | undefined> {
  const path = cgroups.pathOf(readPlan(vm.plan));
  return path === undefined ? undefined : cgroupMetrics(path);
}
