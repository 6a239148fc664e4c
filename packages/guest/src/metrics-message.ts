import type { GuestMetrics } from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from './payload.js';
import { ProtocolError } from './protocol.js';

const MOST_ENTRIES = 32;
const MOST_PATH_BYTES = 256;
const MOST_NAME_BYTES = 32;

/** What a guest says of whose system nothing is known. */
export const NO_METRICS: GuestMetrics = {
  uptimeMs: 0,
  load: [0, 0, 0],
  processCount: 0,
  threadCount: 0,
  cpu: { count: 0, userUs: 0, systemUs: 0, idleUs: 0 },
  memory: { totalBytes: 0, freeBytes: 0, availableBytes: 0, swapTotalBytes: 0, swapFreeBytes: 0 },
  fileSystems: [],
  disks: [],
};

export function encodeMetrics(metrics: GuestMetrics): Buffer {
  const { load, cpu, memory, fileSystems, disks } = metrics;
  const out = new PayloadWriter();
  const count = (...values: readonly number[]): void => {
    for (const value of values) out.u64(BigInt(value));
  };
  count(metrics.uptimeMs);
  for (const average of load) out.u32(Math.round(average * 100));
  out.u32(metrics.processCount).u32(metrics.threadCount).u32(cpu.count);
  count(cpu.userUs, cpu.systemUs, cpu.idleUs);
  count(memory.totalBytes, memory.freeBytes, memory.availableBytes);
  count(memory.swapTotalBytes, memory.swapFreeBytes);
  out.u8(fileSystems.length);
  for (const one of fileSystems) {
    out.text(one.path).text(one.type);
    count(one.totalBytes, one.freeBytes, one.availableBytes);
  }
  out.u8(disks.length);
  for (const one of disks) {
    out.text(one.name);
    count(one.readBytes, one.writtenBytes, one.readCount, one.writeCount);
  }
  return out.done();
}

export function decodeMetrics(payload: Buffer): GuestMetrics {
  const input = new PayloadReader(payload);
  const count = (): number => {
    const value = input.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ProtocolError('a metric beyond 2^53');
    return Number(value);
  };
  const average = (): number => input.u32() / 100;
  const list = <T>(one: () => T): T[] => {
    const length = input.u8();
    if (length > MOST_ENTRIES) throw new ProtocolError(`${length} entries of metrics`);
    return Array.from({ length }, one);
  };
  const metrics: GuestMetrics = {
    uptimeMs: count(),
    load: [average(), average(), average()],
    processCount: input.u32(),
    threadCount: input.u32(),
    cpu: { count: input.u32(), userUs: count(), systemUs: count(), idleUs: count() },
    memory: {
      totalBytes: count(),
      freeBytes: count(),
      availableBytes: count(),
      swapTotalBytes: count(),
      swapFreeBytes: count(),
    },
    fileSystems: list(() => ({
      path: input.words(MOST_PATH_BYTES),
      type: input.words(MOST_NAME_BYTES),
      totalBytes: count(),
      freeBytes: count(),
      availableBytes: count(),
    })),
    disks: list(() => ({
      name: input.words(MOST_NAME_BYTES),
      readBytes: count(),
      writtenBytes: count(),
      readCount: count(),
      writeCount: count(),
    })),
  };
  input.end();
  return metrics;
}
