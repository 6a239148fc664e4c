import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import type { ProviderFactory } from '../factory.js';
import { canSnapshot } from '../support.js';

type WorkerProvider = Pick<ProviderFactory, 'open' | 'spec'>;

/**
 * The whole of a child module for `warningsInWorker`: lives the life of a VM in a worker that runs the same
 * module, and says what warnings Node had meanwhile. A worker counts the descriptors of `node:fs`, and warns
 * when somebody else closes one of them, or `node:fs` one of somebody else's. Needs no vitest.
 */
export async function liveInWorker(factory: WorkerProvider): Promise<void> {
  const [, module = '', stateDir = ''] = process.argv;
  if (isMainThread) await runWorker(module, stateDir);
  else await live(factory, stateDir);
}

async function runWorker(module: string, stateDir: string): Promise<void> {
  const worker = new Worker(module, { argv: [stateDir] });
  worker.on('message', (warnings: readonly string[]) => process.send?.(warnings));
  // An error of the worker's rejects this.
  await once(worker, 'exit');
  process.disconnect();
}

async function live({ open, spec = {} }: WorkerProvider, stateDir: string): Promise<void> {
  const warnings: string[] = [];
  process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`));
  const runtime = await open({ stateDir });
  const { capabilities } = runtime;
  await runtime.createVmWithSpec('a', { ...spec, onOwnerDeath: 'destroy' });
  await runtime.startVm('a');
  if (capabilities.pause) {
    await runtime.pauseVm('a');
    await runtime.resumeVm('a');
  }
  if (canSnapshot(capabilities, 'running')) {
    await runtime.snapshotVm('a', 's');
    await runtime.createVmWithSpec('b', { restoreFrom: { vmId: 'a', snapshotId: 's' } });
    await runtime.destroyVm('b');
  }
  await runtime.stopVm('a');
  await runtime.destroyVm('a');
  await runtime.close();
  // Node emits a warning in a turn of its own.
  await new Promise((resolve) => setImmediate(resolve));
  parentPort?.postMessage(warnings);
}
