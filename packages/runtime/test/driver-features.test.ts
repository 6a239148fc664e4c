import { describe, expect, it } from 'vitest';
import { capabilitiesOf, featureOf } from '../src/engine/driver-features.js';
import type { DriverPausing, DriverSnapshots, DriverSupport } from '../src/index.js';

const support: DriverSupport = {
  rename: true,
  adoption: true,
  spec: { initrd: true },
  limits: { maxVcpuCount: 2, maxMemSizeMib: 512 },
};
const bare = { name: 'bare', support };
const unused = (): never => {
  throw new Error('not called here');
};
const pausing: DriverPausing = { pause: unused, resume: unused };
const snapshots: DriverSnapshots = {
  memory: true,
  disks: true,
  concurrentRestores: true,
  networkOverrides: true,
  capture: unused,
  checkSnapshot: unused,
  restore: unused,
};

const DURABLE = { isDurable: true, hasImages: false };

describe('what a driver can do', () => {
  it('is without features what it says of itself, and nothing else', () => {
    const { limits, spec, ...flags } = capabilitiesOf(bare, DURABLE);
    expect(Object.entries(flags).filter(([, isThere]) => isThere)).toEqual([
      ['rename', true],
      ['durable', true],
      ['adoption', true],
    ]);
    expect(limits).toEqual(support.limits);
    expect(Object.entries(spec).filter(([, isThere]) => isThere)).toEqual([['initrd', true]]);
  });

  it('has each feature that there is an object for', () => {
    const guestAgent = { guest: unused, configure: unused };
    const console = { read: unused };
    const metering = { metrics: unused };
    const driver = { ...bare, pausing, snapshots, guestAgent, console, metering };
    const { limits: _l, spec: _s, ...flags } = capabilitiesOf(driver, DURABLE);
    expect(Object.entries(flags).filter(([, isThere]) => !isThere)).toEqual([['ownerDeathWatcher', false]]);
  });

  it('has no memory snapshots where a VM cannot be paused', () => {
    const capabilities = capabilitiesOf({ ...bare, snapshots }, DURABLE);
    expect(capabilities).toMatchObject({ pause: false, memorySnapshot: false, diskSnapshot: true });
  });

  it('adopts nothing without a state directory', () => {
    expect(capabilitiesOf(bare, { isDurable: false, hasImages: false })).toMatchObject({
      durable: false,
      adoption: false,
    });
  });

  it('makes VMs from images where it can, has an agent in its guests, and the runtime a store of images', () => {
    const guestAgent = { guest: unused, configure: unused };
    const able: Parameters<typeof capabilitiesOf>[0] = {
      ...bare,
      guestAgent,
      support: { ...support, spec: { image: true } },
    };
    const isClaimed = (driver: typeof able, hasImages: boolean): boolean =>
      capabilitiesOf(driver, { isDurable: true, hasImages }).spec.image;
    const { guestAgent: _none, ...deaf } = able;
    expect([isClaimed(able, true), isClaimed(able, false), isClaimed(deaf, true)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(isClaimed({ ...able, support }, true)).toBe(false);
  });

  it('is refused by name where the object is not there', () => {
    expect(() => featureOf(bare, 'pausing')).toThrow(
      expect.objectContaining({
        code: 'MICROVM_UNSUPPORTED',
        message: expect.stringContaining('pausing') as string,
      }),
    );
    expect(featureOf({ ...bare, pausing }, 'pausing')).toBe(pausing);
  });
});
