import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { spawnProcess } from '@microvm/native';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave } from '../interleave.js';

const FILE = '/bin/true';
const PAGE_BYTES = 4096;

/** Memory that has been written to: a fork has to copy its page tables. */
function touchedHeap(sizeMib: number): Buffer {
  const heap = Buffer.allocUnsafe(sizeMib << 20);
  for (let offset = 0; offset < heap.length; offset += PAGE_BYTES) heap[offset] = 1;
  return heap;
}

/** How long the call keeps the event loop, and nothing else: the child is waited for afterwards. */
async function ours(): Promise<number> {
  const startedAt = performance.now();
  const started = spawnProcess({ file: FILE });
  const heldMs = performance.now() - startedAt;
  const exit = await (await started).ref().exited;
  if (exit.exitCode !== 0) throw new Error(`${FILE} ended with ${String(exit.exitCode)}`);
  return heldMs;
}

async function theirs(): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(FILE, { stdio: 'ignore' });
  const heldMs = performance.now() - startedAt;
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${FILE} ended with ${String(code)}`);
  return heldMs;
}

async function processRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  const heapMib = quick ? 64 : 1024;
  const pairs = quick ? 5 : 100;
  log(`native-process: touching ${String(heapMib)} MiB`);
  const heap = touchedHeap(heapMib);
  const samples = await interleave(ours, theirs, { pairs, warmups: 5 });
  // Read, so that it is there until here.
  if (heap[0] !== 1) throw new Error('the heap is not touched');
  return [
    {
      name: `spawn ${FILE} with ${String(heapMib)} MiB touched: event loop held`,
      unit: 'ms',
      ours: { label: 'spawnProcess', samples: samples.ours },
      theirs: { label: 'child_process.spawn', samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 0.2 },
      parameters: { heapMib, pairs },
    },
  ];
}

export const nativeProcess: Dimension = {
  name: 'native-process',
  description: 'How long a spawn keeps the event loop of a process with a big heap.',
  needsQemu: false,
  run: processRows,
};
