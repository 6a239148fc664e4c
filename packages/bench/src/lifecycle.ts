import type { VmRuntime } from '@microvm/runtime';

/** The whole life of one VM, up to the last trace of it. */
export async function liveOnce(runtime: VmRuntime, vmId: string): Promise<void> {
  await runtime.createVm(vmId);
  await runtime.startVm(vmId);
  await runtime.stopVm(vmId);
  await runtime.destroyVm(vmId);
  await runtime.forgetVm(vmId);
}

/** Runs jobs with so many at work at any time. */
export async function atOnce(
  count: number,
  workers: number,
  job: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const work = async () => {
    for (let index = next++; index < count; index = next++) await job(index);
  };
  await Promise.all(Array.from({ length: workers }, work));
}
