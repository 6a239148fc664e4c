import { expect, it } from 'vitest';
import { driverVm, Fleet } from '../src/engine/fleet.js';
import { RECORD_FORMAT, type VmRecord } from '../src/engine/record.js';
import { VolatileStore } from '../src/engine/volatile-store.js';
import { resolveVmSpec } from '../src/index.js';

const RECORD: VmRecord = {
  format: RECORD_FORMAT,
  instanceId: 'a'.repeat(32),
  vmId: 'before',
  state: 'running',
  spec: resolveVmSpec({}, {}),
  plan: {},
  pinned: {},
  createdAt: '2026-01-01T00:00:00.000Z',
  changedAt: '2026-01-01T00:00:00.000Z',
  jobs: [],
};

it('a driver that keeps a VM names it in errors by the id that it has after a rename', () => {
  const fleet = new Fleet();
  const vm = fleet.add(RECORD);
  const kept = driverVm(vm, new VolatileStore(), undefined);
  vm.record = { ...vm.record, vmId: 'after' };
  fleet.rename(vm, 'before');
  expect(kept.vmId).toBe('after');
  expect(fleet.get('before')).toBeUndefined();
  expect(fleet.get('after')).toBe(vm);
});
