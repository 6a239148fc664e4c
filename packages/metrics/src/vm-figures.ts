import type { VmMetrics } from '@microvm/runtime';
import { Counter, Gauge, type Registry } from 'prom-client';
import { metricOf } from './metric-name.js';

const LABELS = ['vm_id', 'instance_id', 'driver'] as const;

type Kind = 'counter' | 'gauge';

interface Figure {
  readonly kind: Kind;
  readonly name: string;
  readonly help: string;
  readonly value: number | undefined;
}

const US_PER_SECOND = 1e6;

/** Puts the figures of one VM into a registry, beside those of others. */
export function addVm(
  registry: Registry,
  driver: string,
  metrics: VmMetrics,
  include: (name: string) => boolean,
): void {
  const labels = { vm_id: metrics.vmId, instance_id: metrics.instanceId, driver };
  const taken = new Set<string>();
  for (const { kind, name, help, value } of [...kernelFigures(metrics), ...vmmFigures(metrics, include)]) {
    // Two of the VMM's names can come to one of ours: the first has it.
    if (value === undefined || taken.has(name)) continue;
    taken.add(name);
    const known = registry.getSingleMetric(name);
    const options = { name, help, labelNames: LABELS, registers: [registry] };
    // What one VMM counts another may call a value: only one kind can have the name.
    if (kind === 'counter') {
      const counter = known ?? new Counter(options);
      if (counter instanceof Counter) counter.inc(labels, value);
    } else {
      const gauge = known ?? new Gauge(options);
      if (gauge instanceof Gauge) gauge.set(labels, value);
    }
  }
}

function vmmFigures({ vmm }: VmMetrics, include: (name: string) => boolean): Figure[] {
  const of = (kind: Kind, figures: Readonly<Record<string, number>>): Figure[] =>
    Object.entries(figures)
      .filter(([name]) => include(name))
      .map(([vmmName, figure]) => {
        const { name, divisor } = metricOf(vmmName, kind);
        return { kind, name, help: `${vmmName} of the VMM`, value: figure / divisor };
      });
  return [...of('counter', vmm.counters), ...of('gauge', vmm.gauges)];
}

function kernelFigures({ process, cgroup }: VmMetrics): Figure[] {
  const seconds = (us: number | undefined): number | undefined => us && us / US_PER_SECOND;
  const counter = (name: string, value: number | undefined, help: string): Figure => ({
    kind: 'counter',
    name: `microvm_${name}_total`,
    help,
    value,
  });
  const gauge = (name: string, value: number | undefined, help: string): Figure => ({
    kind: 'gauge',
    name: `microvm_${name}`,
    help,
    value,
  });
  return [
    counter('process_cpu_user_seconds', seconds(process?.userUs), 'Time of the VMM in user space'),
    counter('process_cpu_system_seconds', seconds(process?.systemUs), 'Time of the VMM in the kernel'),
    gauge('process_resident_bytes', process?.residentBytes, 'Resident memory of the VMM'),
    gauge('process_threads', process?.threadCount, 'Threads of the VMM'),
    gauge('process_open_files', process?.openFileCount, 'Open files of the VMM'),
    counter('cgroup_cpu_seconds', seconds(cgroup?.cpu?.usageUs), 'cpu.stat usage_usec'),
    counter('cgroup_cpu_user_seconds', seconds(cgroup?.cpu?.userUs), 'cpu.stat user_usec'),
    counter('cgroup_cpu_system_seconds', seconds(cgroup?.cpu?.systemUs), 'cpu.stat system_usec'),
    gauge('cgroup_memory_bytes', cgroup?.memory?.currentBytes, 'memory.current'),
    gauge('cgroup_memory_peak_bytes', cgroup?.memory?.peakBytes, 'memory.peak'),
    counter('cgroup_oom_kills', cgroup?.memory?.oomKillCount, 'memory.events oom_kill'),
    gauge('cgroup_pids', cgroup?.pids?.current, 'pids.current'),
    counter('cgroup_io_read_bytes', cgroup?.io?.readBytes, 'io.stat rbytes'),
    counter('cgroup_io_write_bytes', cgroup?.io?.writeBytes, 'io.stat wbytes'),
    counter('cgroup_io_reads', cgroup?.io?.readCount, 'io.stat rios'),
    counter('cgroup_io_writes', cgroup?.io?.writeCount, 'io.stat wios'),
  ];
}
