import { isLive, VM_STATES, type VmMetrics, type VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, rejection, viewOf } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

/** VMs in figures. */
export function registerMetrics(fixture: ProviderFixture): void {
  if (!fixture.capabilities.metrics) return;
  describe('metrics', () => {
    test('an unknown VM has none', async () => {
      const runtime = await fixture.open();
      expect(await runtime.metricsVm(fixture.newId())).toBeUndefined();
    });
    for (const state of VM_STATES.filter((one) => fixture.canArrange(one))) {
      test(`of a VM that is ${state} say whose they are, and nothing that it has not`, async () => {
        const view = await fixture.arrange(state);
        const metrics = await metricsOf(await fixture.open(), view.vmId);
        const { vmId, instanceId } = view;
        expect(metrics).toMatchObject({ vmId, instanceId, state });
        expectFigures(metrics);
        const hasProcess = isLive(state) && view.vmm !== undefined;
        if (state !== 'created') expect(metrics.process !== undefined).toBe(hasProcess);
        if (hasProcess) expect(metrics.process?.threadCount).toBeGreaterThan(0);
        if (hasProcess) expect(metrics.process?.residentBytes).toBeGreaterThan(0);
        if (state === 'destroyed') expect(metrics.vmm).toEqual({ counters: {}, gauges: {} });
      });
    }
    test('counters never fall: not by a stop, a start, a new id or a new owner', () => neverFalls(fixture));
    test('are to be had while a job is at work on the VM', () => answersMeanwhile(fixture));
    test('an abort rejects with its reason, an unknown option is refused', async () => {
      const { vmId } = await fixture.arrange('running');
      const runtime = await fixture.open();
      const reason = new Error('enough');
      expect(await rejection(runtime.metricsVm(vmId, { signal: AbortSignal.abort(reason) }))).toBe(reason);
      await refusal('MICROVM_INVALID_ARGUMENT', runtime.metricsVm(vmId, { sinal: 1 } as object));
    });
  });
}

async function metricsOf(runtime: VmRuntime, vmId: string): Promise<VmMetrics> {
  const metrics = await runtime.metricsVm(vmId);
  if (metrics === undefined) throw new Error(`"${vmId}" has no metrics`);
  return metrics;
}

function expectFigures({ vmm: { counters, gauges } }: VmMetrics): void {
  const figures = [...Object.entries(counters), ...Object.entries(gauges)];
  expect(figures.filter(([, value]) => !Number.isFinite(value) || value < 0)).toEqual([]);
}

async function neverFalls(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  let runtime = await fixture.open();
  let name = vmId;
  let before = await metricsOf(runtime, name);
  const acts: (() => Promise<unknown>)[] = [
    () => runtime.stopVm(name),
    () => runtime.startVm(name),
    ...(fixture.capabilities.rename
      ? [async () => (name = (await runtime.renameVm(name, fixture.newId())).vmId)]
      : []),
    ...(fixture.isDurable && fixture.capabilities.adoption
      ? [async () => (runtime = await fixture.reopen())]
      : []),
    () => runtime.stopVm(name),
  ];
  for (const act of acts) {
    await act();
    const after = await metricsOf(runtime, name);
    for (const [counter, value] of Object.entries(before.vmm.counters)) {
      expect(after.vmm.counters[counter], counter).toBeGreaterThanOrEqual(value);
    }
    before = after;
  }
}

async function answersMeanwhile(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const hold = fixture.gates.hold('stopVm:intent');
  const stop = runtime.stopVm(vmId);
  await hold.reached;
  expect((await metricsOf(runtime, vmId)).state).toBe('running');
  hold.release();
  await stop;
  expect((await metricsOf(runtime, vmId)).state).toBe((await viewOf(runtime, vmId)).state);
}
