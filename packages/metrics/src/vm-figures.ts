import type { VmMetrics } from '@microvm/runtime';
import { US_PER_SECOND, type Figure } from './figures.js';
import { metricOf } from './metric-name.js';

/** What the kernel and the VMM count of one VM. */
export function figuresOfVm(metrics: VmMetrics, include: (name: string) => boolean): Figure[] {
  return [...kernelFigures(metrics), ...vmmFigures(metrics, include)];
}

function vmmFigures({ vmm }: VmMetrics, include: (name: string) => boolean): Figure[] {
  const of = (kind: Figure['kind'], figures: Readonly<Record<string, number>>): Figure[] =>
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
