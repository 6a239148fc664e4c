import {
  isVmRuntimeError,
  VM_STATES,
  type GuestMetrics,
  type JobView,
  type VmEvent,
  type VmMetrics,
  type VmRuntime,
  type VmView,
} from '@microvm/runtime';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { addFigures } from './figures.js';
import { figuresOfGuest } from './guest-figures.js';
import { figuresOfVm } from './vm-figures.js';

export interface RuntimeMetricsOptions {
  /**
   * Which of the VMM's figures to tell, by its own names: Firecracker has some 260 for each VM. Default: all.
   */
  readonly include?: (name: string) => boolean;
  /**
   * Whether each running guest is asked for what its own kernel counts: one round trip to its agent for each
   * VM and scrape, 2 s at most. Default: true.
   */
  readonly guests?: boolean;
}

/** A runtime as Prometheus sees it. */
export interface RuntimeMetrics {
  readonly contentType: string;
  /** All figures as they are now, as a registry of prom-client: to be merged with others. */
  collect(): Promise<Registry>;
  /** The same as text. */
  text(): Promise<string>;
  /** Follows the runtime's jobs no more. */
  close(): void;
}

const VMS_AT_ONCE = 16;
const GUEST_TIMEOUT_MS = 2_000;
// A verb takes milliseconds, a dump of memory minutes.
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/**
 * Follows a runtime: its VMs as they are whenever it is asked, its jobs from now on. The driver's name is
 * asked for once. Ends with the runtime, or with `close`.
 */
export async function watchRuntime(
  runtime: VmRuntime,
  { include = () => true, guests = true }: RuntimeMetricsOptions = {},
): Promise<RuntimeMetrics> {
  const stop = new AbortController();
  const { driver } = await runtime.probe();
  const registry = jobFigures(runtime, stop.signal);
  const collect = async (): Promise<Registry> => {
    const own = new Registry();
    await addRuntime(own, runtime, driver);
    const asked = { vms: runtime.capabilities.metrics, guests: guests && runtime.capabilities.guestAgent };
    for (const { view, vm, guest } of await metricsOfAll(runtime, asked)) {
      const labels = { vm_id: view.vmId, instance_id: view.instanceId, driver };
      if (vm !== undefined) addFigures(own, labels, figuresOfVm(vm, include));
      if (guest !== undefined) addFigures(own, labels, figuresOfGuest(guest));
    }
    return Registry.merge([registry, own]);
  };
  return {
    contentType: registry.contentType,
    collect,
    text: async () => (await collect()).metrics(),
    close: () => stop.abort(),
  };
}

function jobFigures(runtime: VmRuntime, signal: AbortSignal): Registry {
  const registry = new Registry();
  const registers = [registry];
  const labelNames = ['kind', 'status'] as const;
  const ended = new Counter({ name: 'microvm_jobs_total', help: 'Jobs that ended', labelNames, registers });
  const duration = new Histogram({
    name: 'microvm_job_duration_seconds',
    help: 'From the start of a job to its end',
    labelNames,
    buckets: SECONDS,
    registers,
  });
  const missed = new Counter({
    name: 'microvm_events_missed_total',
    help: 'Events that were not seen here, and so jobs that are not counted',
    registers,
  });
  const count = ({ kind, status, startedAt, endedAt }: JobView): void => {
    if (endedAt === undefined) return;
    ended.inc({ kind, status });
    if (startedAt === undefined) return;
    duration.observe({ kind, status }, (Date.parse(endedAt) - Date.parse(startedAt)) / 1000);
  };
  void follow(runtime.events({ signal }), (event) => {
    if (event.type === 'job') count(event.job);
    if (event.type === 'lagged') missed.inc(event.missed);
  });
  return registry;
}

async function follow(events: AsyncIterable<VmEvent>, onEvent: (event: VmEvent) => void): Promise<void> {
  for await (const event of events) onEvent(event);
}

async function addRuntime(registry: Registry, runtime: VmRuntime, driver: string): Promise<void> {
  const registers = [registry];
  const vms = new Gauge({
    name: 'microvm_vms',
    help: 'VMs by state',
    labelNames: ['state', 'driver'] as const,
    registers,
  });
  for (const state of VM_STATES) vms.set({ state, driver }, 0);
  for (const { state } of await runtime.listVms()) vms.inc({ state, driver });
  const jobs = new Gauge({
    name: 'microvm_jobs_unfinished',
    help: 'Jobs that wait or run',
    labelNames: ['kind', 'status'] as const,
    registers,
  });
  for (const { kind, status } of await runtime.listJobs()) {
    if (status === 'queued' || status === 'running') jobs.inc({ kind, status });
  }
}

interface MetricsOfVm {
  readonly view: VmView;
  readonly vm: VmMetrics | undefined;
  readonly guest: GuestMetrics | undefined;
}

interface Asked {
  readonly vms: boolean;
  readonly guests: boolean;
}

async function metricsOfAll(runtime: VmRuntime, asked: Asked): Promise<MetricsOfVm[]> {
  const waiting = (await runtime.listVms()).filter(({ state }) => state !== 'destroyed');
  const found: MetricsOfVm[] = [];
  const work = async (): Promise<void> => {
    for (let view = waiting.pop(); view !== undefined; view = waiting.pop()) {
      found.push(await metricsOf(runtime, view, asked));
    }
  };
  await Promise.all(Array.from({ length: VMS_AT_ONCE }, work));
  return found;
}

async function metricsOf(runtime: VmRuntime, view: VmView, asked: Asked): Promise<MetricsOfVm> {
  const { vmId, state } = view;
  const [vm, guest] = await Promise.all([
    asked.vms ? ifPossible(runtime.metricsVm(vmId)) : undefined,
    asked.guests && state === 'running' ? ifPossible(metricsOfGuest(runtime, vmId)) : undefined,
  ]);
  return { view, vm, guest };
}

async function metricsOfGuest(runtime: VmRuntime, vmId: string): Promise<GuestMetrics> {
  return (await runtime.guest(vmId)).metrics({ timeoutMs: GUEST_TIMEOUT_MS });
}

/**
 * One VM that cannot be looked at, such as one that is being destroyed, does not take the others' figures
 * away.
 */
async function ifPossible<T>(metrics: Promise<T>): Promise<T | undefined> {
  try {
    return await metrics;
  } catch (error) {
    if (isVmRuntimeError(error, 'MICROVM_CLOSED') && error.details.what === 'runtime') throw error;
    return undefined;
  }
}
