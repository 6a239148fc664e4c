import { collectGarbage } from './collect-garbage.js';
import { runtimeWith } from './engine.js';

/**
 * Resident memory, in KiB, that each of so many running VMs adds to this process, which should be a fresh
 * one.
 */
export async function memoryPerVm({ vms }: { readonly vms: number }): Promise<number> {
  // Code, tables and the compiler's own memory are there before the VMs that count.
  const warmup = await runtimeWith(Math.ceil(vms / 10));
  await warmup.close();
  collectGarbage();
  const before = process.memoryUsage.rss();
  const runtime = await runtimeWith(vms);
  collectGarbage();
  const after = process.memoryUsage.rss();
  if ((await runtime.listVms()).length !== vms) throw new Error('not as many VMs as asked for');
  await runtime.close();
  return (after - before) / 1024 / vms;
}
