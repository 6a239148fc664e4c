import type { GuestMetrics } from '@microvm/runtime';
import { US_PER_SECOND, type Figure } from './figures.js';

/** What the guest's own kernel counts, as far as the guest can be believed. */
export function figuresOfGuest({ cpu, memory, load, ...metrics }: GuestMetrics): Figure[] {
  const figure =
    (kind: Figure['kind']) =>
    (name: string, value: number, help: string, labels?: Figure['labels']): Figure => ({
      kind,
      name: `microvm_guest_${name}`,
      help: `${help}, as the guest says`,
      value,
      ...(labels && { labels }),
    });
  const gauge = figure('gauge');
  const counter = figure('counter');
  const cpuTime = (mode: string, us: number): Figure =>
    counter('cpu_seconds_total', us / US_PER_SECOND, 'Time of all processors', { mode });
  return [
    gauge('uptime_seconds', metrics.uptimeMs / 1000, 'Time since the boot'),
    ...load.map((average, index) =>
      gauge('load', average, 'Processes that run or wait', { minutes: ['1', '5', '15'][index] ?? '' }),
    ),
    gauge('processes', metrics.processCount, 'Processes'),
    gauge('threads', metrics.threadCount, 'Threads'),
    gauge('cpus', cpu.count, 'Processors'),
    cpuTime('user', cpu.userUs),
    cpuTime('system', cpu.systemUs),
    cpuTime('idle', cpu.idleUs),
    gauge('memory_total_bytes', memory.totalBytes, 'Memory'),
    gauge('memory_free_bytes', memory.freeBytes, 'Free memory'),
    gauge('memory_available_bytes', memory.availableBytes, 'Memory that programs can still have'),
    gauge('swap_total_bytes', memory.swapTotalBytes, 'Swap'),
    gauge('swap_free_bytes', memory.swapFreeBytes, 'Free swap'),
    ...metrics.fileSystems.flatMap(({ path, type, totalBytes, freeBytes, availableBytes }) => {
      const labels = { path, type };
      return [
        gauge('filesystem_total_bytes', totalBytes, 'Size of a file system', labels),
        gauge('filesystem_free_bytes', freeBytes, 'Free space of a file system', labels),
        gauge('filesystem_available_bytes', availableBytes, 'Space for users of a file system', labels),
      ];
    }),
    ...metrics.disks.flatMap(({ name, readBytes, writtenBytes, readCount, writeCount }) => {
      const labels = { disk: name };
      return [
        counter('disk_read_bytes_total', readBytes, 'Bytes read of a disk', labels),
        counter('disk_written_bytes_total', writtenBytes, 'Bytes written to a disk', labels),
        counter('disk_reads_total', readCount, 'Reads of a disk', labels),
        counter('disk_writes_total', writeCount, 'Writes to a disk', labels),
      ];
    }),
  ];
}
