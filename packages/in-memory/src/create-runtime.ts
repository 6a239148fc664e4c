import { openRuntime, resolveOptions, systemClock, type HostCalls, type VmRuntime } from '@microvm/runtime';
import { capabilitiesOf } from './driver/capabilities.js';
import type { HostFiles } from './driver/disks.js';
import { InMemoryDriver } from './driver/driver.js';
import { DRIVER_METHODS } from './driver/driver-points.js';
import { createFaults, Faults } from './faults.js';
import type { GuestEnd } from './guest/guest-end.js';
import { bytesOf, createImages, ImagesInMemory } from './images.js';
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

function toHostFiles(files: InMemoryOptions['hostFiles']): HostFiles | undefined {
  if (files === undefined) return undefined;
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [path, bytesOf(content)]));
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
  const {
    clock = systemClock,
    guest = {},
    faults = [],
    latencyMs,
    capabilities,
    hostFiles,
    ...rest
  } = resolved;
  const {
    images: given = {},
    cpuModel = 'virtual',
    diskLimitBytes = DISK_LIMIT_BYTES,
    world,
    onBreach = () => undefined,
    ...common
  } = rest;
  const controller = faults instanceof Faults ? faults : createFaults(faults);
  const hostCalls = common.stateDir === undefined ? undefined : await loadHostCalls();
  const images = given instanceof ImagesInMemory ? given : createImages(given);
  const isShared = world !== undefined;
  const driver = new InMemoryDriver({
    capabilities: capabilitiesOf(capabilities, isShared),
    clock,
    faults: controller,
    guest,
    latencies: toLatencies(latencyMs),
    hostFiles: toHostFiles(hostFiles),
    images,
    diskLimitBytes,
    cpuModel,
    world: world ?? createWorld(),
    isShared,
    onBreach,
    hostCalls,
  });
  const runtime = await openRuntime({ ...common, driver, hostCalls, clock, images });
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
