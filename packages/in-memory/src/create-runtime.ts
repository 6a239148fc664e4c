import { openRuntime, resolveOptions, systemClock, type HostCalls, type VmRuntime } from '@microvm/runtime';
import { capabilitiesOf } from './driver/capabilities.js';
import type { Images } from './driver/disks.js';
import { InMemoryDriver } from './driver/driver.js';
import { DRIVER_METHODS } from './driver/driver-points.js';
import { createFaults, Faults } from './faults.js';
import type { GuestEnd } from './guest/guest-end.js';
import { IN_MEMORY_SETTINGS, inMemoryOptionsSchema, type InMemoryOptions } from './options.js';
import type { Latencies } from './driver/method-runner.js';
import { createWorld } from './world.js';

const DISK_LIMIT_BYTES = 64 << 20;

/** The addon is what makes files durable; without files nothing of it is loaded. */
function loadHostCalls(): Promise<HostCalls> {
  return import('@microvm/native');
}

function toLatencies(latencyMs: InMemoryOptions['latencyMs']): Latencies {
  if (typeof latencyMs !== 'number') return (latencyMs ?? {}) as Latencies;
  return Object.fromEntries(DRIVER_METHODS.map((method) => [method, latencyMs]));
}

/** Disks hold bytes, options text. */
function toImages(images: InMemoryOptions['images']): Images | undefined {
  if (images === undefined) return undefined;
  const toBytes = (content: Readonly<Record<string, string>>) =>
    Object.fromEntries(
      Object.entries(content).map(([path, text]) => [path, Buffer.from(text).toString('latin1')]),
    );
  return Object.fromEntries(Object.entries(images).map(([path, content]) => [path, toBytes(content)]));
}

/**
 * A runtime whose VMs are nothing but memory: the states, errors and rules of a real one, in microseconds,
 * without a host. Time (`clock`), guests (`guest`) and what goes wrong (`faults`) are the caller's to choose.
 * Without `stateDir` nothing is durable and no native code is loaded; with it, records, snapshots, disks and
 * consoles outlive the process, the running guests do not.
 *
 * Errors: INVALID_ARGUMENT; with `stateDir` also STATE_LOCKED, STATE_CORRUPT, HOST_FAILURE.
 */
export async function createInMemoryRuntime(options?: InMemoryOptions): Promise<VmRuntime> {
  const resolved = resolveOptions(inMemoryOptionsSchema, IN_MEMORY_SETTINGS, options);
  const { clock = systemClock, guest = {}, faults = [], latencyMs, capabilities, images, ...rest } = resolved;
  const {
    cpuModel = 'virtual',
    diskLimitBytes = DISK_LIMIT_BYTES,
    world,
    onBreach = () => undefined,
    ...common
  } = rest;
  const controller = faults instanceof Faults ? faults : createFaults(faults);
  const hostCalls = common.stateDir === undefined ? undefined : await loadHostCalls();
  const isShared = world !== undefined;
  const driver = new InMemoryDriver({
    capabilities: capabilitiesOf(capabilities, isShared),
    clock,
    faults: controller,
    guest,
    latencies: toLatencies(latencyMs),
    images: toImages(images),
    diskLimitBytes,
    cpuModel,
    world: world ?? createWorld(),
    isShared,
    onBreach,
    hostCalls,
  });
  const runtime = await openRuntime({ ...common, driver, hostCalls, clock });
  controller.attach({ end: (vmId, end) => endGuest(runtime, driver, vmId, end) });
  return runtime;
}

// The driver knows no ids: only the runtime can tell whose guest is meant, also after a rename.
async function endGuest(
  runtime: VmRuntime,
  driver: InMemoryDriver,
  vmId: string,
  end: GuestEnd,
): Promise<void> {
  const view = await runtime.getVm(vmId);
  if (view === undefined) throw new Error(`there is no VM "${vmId}"`);
  driver.endGuest(view.instanceId, end);
}
