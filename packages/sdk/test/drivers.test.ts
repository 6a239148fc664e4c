import { isVmRuntimeError } from '@microvm/runtime';
import type { HostReport } from '@microvm/runtime';
import { expect, it } from 'vitest';
import { pickDriver, takeDriver } from '../src/drivers.js';
import type { DriverName } from '../src/options.js';

const USABLE: HostReport = { driver: 'in-memory', usable: true, accelerator: 'none', findings: [] };
const UNUSABLE: HostReport = {
  driver: 'qemu',
  usable: false,
  accelerator: 'none',
  findings: [
    { code: 'no-kvm', severity: 'warning', message: 'no KVM', remedy: 'use a host with KVM' },
    { code: 'qemu-too-old', severity: 'error', message: 'QEMU 5.2 has no microvm', remedy: 'install QEMU 7' },
  ],
};

const probe = (name: DriverName) => Promise.resolve(name === 'qemu' ? UNUSABLE : USABLE);

it('picks the first driver whose probe says that it is usable', async () => {
  const looked: DriverName[] = [];
  const choice = await pickDriver(
    (name) => {
      looked.push(name);
      return Promise.resolve({ ...USABLE, driver: name, accelerator: 'tcg' });
    },
    ['qemu', 'in-memory'],
  );
  expect(choice.driver).toBe('qemu');
  expect(choice.reason).toContain('tcg');
  expect(looked).toEqual(['qemu']);
});

it('passes over a driver that is not usable here, and says so', async () => {
  const choice = await pickDriver(probe, ['qemu', 'in-memory']);
  expect(choice).toMatchObject({ driver: 'in-memory', reports: [UNUSABLE, USABLE] });
  expect(choice.reason).toContain('unlike qemu');
});

it('says what is wrong with every driver when none is usable, and what to do', async () => {
  const error = await pickDriver(probe, ['qemu']).catch((e: unknown) => e);
  if (!isVmRuntimeError(error, 'MICROVM_HOST_UNSUPPORTED')) throw error;
  expect(error.details.findings).toEqual(['qemu-too-old']);
  expect(error.message).toContain('qemu: QEMU 5.2 has no microvm');
  expect(error.remedy).toBe('install QEMU 7');
});

it('never picks guests that are not real by itself', async () => {
  const looked: DriverName[] = [];
  const choice = pickDriver((name) => {
    looked.push(name);
    return Promise.resolve(UNUSABLE);
  });
  await expect(choice).rejects.toMatchObject({ code: 'MICROVM_HOST_UNSUPPORTED' });
  expect(looked).not.toContain('in-memory');
});

it('takes a driver that was asked for whatever its probe says', async () => {
  expect(await takeDriver('qemu', 'the driver option', probe)).toEqual({
    driver: 'qemu',
    reason: 'asked for by the driver option',
    reports: [UNUSABLE],
  });
});
