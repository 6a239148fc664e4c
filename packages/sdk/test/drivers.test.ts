import { createInMemoryRuntime } from '@microvm/in-memory';
import { isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import type { HostReport, VmRuntime } from '@microvm/runtime';
import { expect, it, onTestFinished } from 'vitest';
import { openBestDriver, openDriver } from '../src/drivers.js';

const UNUSABLE: HostReport = {
  driver: 'qemu',
  usable: false,
  accelerator: 'none',
  findings: [
    { code: 'qemu-too-old', severity: 'error', message: 'QEMU 5.2 has no microvm', remedy: 'install QEMU 7' },
  ],
};

async function runtimeThatReports(report?: HostReport): Promise<VmRuntime> {
  const runtime = await createInMemoryRuntime();
  onTestFinished(() => runtime.close());
  if (report !== undefined) runtime.probe = () => Promise.resolve(report);
  return runtime;
}

it('picks the first driver whose probe says that it is usable', async () => {
  const best = await runtimeThatReports();
  const second = await runtimeThatReports();
  const { runtime, choice } = await openBestDriver(
    (name) => Promise.resolve(name === 'in-memory' ? best : second),
    ['in-memory', 'qemu'],
  );
  expect(runtime).toBe(best);
  expect(choice).toMatchObject({ driver: 'in-memory', reports: [{ usable: true }] });
});

it('passes over a driver that is not usable here, closes it, and says so', async () => {
  const passedOver = await runtimeThatReports(UNUSABLE);
  const usable = await runtimeThatReports();
  const { runtime, choice } = await openBestDriver(
    (name) => Promise.resolve(name === 'qemu' ? passedOver : usable),
    ['qemu', 'in-memory'],
  );
  expect(runtime).toBe(usable);
  expect(choice.driver).toBe('in-memory');
  expect(choice.reason).toContain('unlike qemu');
  expect(choice.reports.map(({ usable }) => usable)).toEqual([false, true]);
  await expect(passedOver.listVms()).rejects.toMatchObject({ code: 'MICROVM_CLOSED' });
});

it('passes over a driver that refuses to open because of the host', async () => {
  const refusal = new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', 'no QEMU', {
    details: { findings: ['qemu-missing'] },
    remedy: 'apt-get install qemu-system-x86',
  });
  const usable = await runtimeThatReports();
  const { choice } = await openBestDriver(
    (name) => (name === 'qemu' ? Promise.reject(refusal) : Promise.resolve(usable)),
    ['qemu', 'in-memory'],
  );
  expect(choice.reports[0]?.findings).toEqual([
    {
      code: 'qemu-missing',
      severity: 'error',
      message: 'no QEMU',
      remedy: 'apt-get install qemu-system-x86',
    },
  ]);
});

it('says what is wrong with every driver when none is usable, and what to do', async () => {
  const error = await openBestDriver(() => runtimeThatReports(UNUSABLE), ['qemu']).catch((e: unknown) => e);
  if (!isVmRuntimeError(error, 'MICROVM_HOST_UNSUPPORTED')) throw error;
  expect(error.details.findings).toEqual(['qemu-too-old']);
  expect(error.message).toContain('qemu: QEMU 5.2 has no microvm');
  expect(error.remedy).toBe('install QEMU 7');
});

it('passes on an error that is not about the host', async () => {
  const locked = new VmRuntimeError('MICROVM_STATE_LOCKED', 'locked', { details: { stateDir: '/x' } });
  await expect(openBestDriver(() => Promise.reject(locked), ['qemu'])).rejects.toBe(locked);
});

it('opens a driver that was asked for whatever its probe says', async () => {
  const runtime = await runtimeThatReports(UNUSABLE);
  const opened = await openDriver('qemu', 'the driver option', () => Promise.resolve(runtime));
  expect(opened.runtime).toBe(runtime);
  expect(opened.choice).toEqual({
    driver: 'qemu',
    reason: 'asked for by the driver option',
    reports: [UNUSABLE],
  });
});
