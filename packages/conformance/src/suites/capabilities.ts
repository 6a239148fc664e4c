import type { Capabilities, SpecFeatures, VmRuntime, VmSpec, VmState } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { readAll } from '../calls.js';
import { refusal, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

type Ability = Exclude<
  { [K in keyof Capabilities]: Capabilities[K] extends boolean ? K : never }[keyof Capabilities],
  // Facts about the runtime, not abilities that a call asks for.
  'durable' | 'adoption' | 'ownerDeathWatcher'
>;

interface Inverse {
  /** The VM to ask it of; undefined when the call makes one. */
  readonly from?: VmState;
  readonly call: (fixture: ProviderFixture, runtime: VmRuntime, vmId: string) => Promise<unknown>;
}

/** For each ability the calls that need it. */
const INVERSES: Readonly<Record<Ability, readonly Inverse[]>> = {
  pause: [
    { from: 'running', call: (_, runtime, vmId) => runtime.pauseVm(vmId) },
    { from: 'running', call: (_, runtime, vmId) => runtime.resumeVm(vmId) },
    { call: (fixture, runtime, vmId) => restore(fixture, runtime, vmId, { resumeImmediately: false }) },
  ],
  memorySnapshot: [{ from: 'running', call: (_, runtime, vmId) => runtime.snapshotVm(vmId, 'taken') }],
  diskSnapshot: [{ from: 'created', call: (_, runtime, vmId) => runtime.snapshotVm(vmId, 'taken') }],
  rename: [{ from: 'running', call: (_, runtime, vmId) => runtime.renameVm(vmId, 'tenant') }],
  concurrentRestores: [
    // The VM that is there already came from the golden snapshot.
    { from: 'running', call: (fixture, runtime, vmId) => restore(fixture, runtime, `${vmId}-b`) },
  ],
  networkOverrides: [
    {
      call: (fixture, runtime, vmId) =>
        restore(fixture, runtime, vmId, { networkOverrides: [{ ifaceId: 'eth0', hostDevName: 'tap9' }] }),
    },
  ],
  guestAgent: [{ from: 'running', call: (_, runtime, vmId) => runtime.guest(vmId) }],
  metrics: [{ from: 'running', call: (_, runtime, vmId) => runtime.metricsVm(vmId) }],
  console: [{ from: 'running', call: async (_, runtime, vmId) => readAll(runtime.consoleVm(vmId)) }],
};

/** Abilities whose calls need a memory snapshot to exist. */
const NEED_SNAPSHOT: readonly Ability[] = ['concurrentRestores', 'networkOverrides'];

/** A spec that asks for each feature, and for no other where that is possible. */
const SPECS: Readonly<Record<keyof SpecFeatures, VmSpec>> = {
  initrd: { initrdPath: '/initrd' },
  rootDrive: { rootDrive: { path: '/disk' } },
  image: { image: 'app' },
  extraDrives: { drives: [{ driveId: 'data', path: '/disk' }] },
  rateLimiters: { serial: { rateLimiter: { bandwidth: { size: 1024, refillTimeMs: 100 } } } },
  driveTuning: { rootDrive: { path: '/disk', cacheType: 'Writeback' } },
  smt: { smt: true, vcpuCount: 2 },
  cpuTemplate: { cpuTemplate: 'T2' },
  trackDirtyPages: { trackDirtyPages: true },
  hugePages: { hugePages: '2M' },
  networkInterfaces: { networkInterfaces: [{ ifaceId: 'eth0' }] },
  egressRules: { egress: { allow: [] } },
  portForwards: { portForwards: [{ hostPort: 8080, guestPort: 80 }] },
  vsock: { vsock: {} },
  balloon: { balloon: { amountMib: 0 } },
  entropy: { entropy: {} },
  mmds: { mmds: { networkInterfaces: ['eth0'] } },
  resourceLimits: { limits: { pidsMax: 10 } },
  jail: { jail: true },
  consoleSwitch: { console: false },
};

/** What the provider says it cannot do is refused as unsupported, and changes nothing. */
export function registerCapabilities(fixture: ProviderFixture): void {
  const { capabilities } = fixture;
  describe('capabilities', () => {
    test('capabilities are the same for every runtime of the provider, and cannot be changed', async () => {
      const runtime = await fixture.open();
      expect(runtime.capabilities).toEqual(capabilities);
      expect(runtime.capabilities.durable).toBe(fixture.isDurable);
      expect(Object.isFrozen(runtime.capabilities)).toBe(true);
    });
    for (const [ability, inverses] of Object.entries(INVERSES) as [Ability, readonly Inverse[]][]) {
      if (capabilities[ability]) continue;
      if (NEED_SNAPSHOT.includes(ability) && !capabilities.memorySnapshot) continue;
      test(`without ${ability} a call that needs it is refused, and changes nothing`, async () => {
        for (const inverse of inverses) await refusesAbility(fixture, inverse);
      });
    }
    for (const [feature, spec] of Object.entries(SPECS) as [keyof SpecFeatures, VmSpec][]) {
      if (capabilities.spec[feature]) continue;
      test(`a spec that asks for ${feature} is refused, and changes nothing`, () =>
        refusesSpec(fixture, spec));
    }
  });
}

async function refusesAbility(fixture: ProviderFixture, { from, call }: Inverse): Promise<void> {
  if (from === undefined && !fixture.capabilities.memorySnapshot) return;
  const vmId = from === undefined ? fixture.newId() : (await fixture.arrange(from)).vmId;
  const runtime = await fixture.open();
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_UNSUPPORTED', call(fixture, runtime, vmId)),
  );
  expect(error.details.feature).not.toBe('');
}

async function refusesSpec(fixture: ProviderFixture, spec: VmSpec): Promise<void> {
  const asked = spec.image === undefined ? fixture.spec(spec) : fixture.specOfImage(spec);
  const runtime = await fixture.open();
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_UNSUPPORTED', runtime.createVmWithSpec(fixture.newId(), asked)),
  );
  expect(error.details.feature).not.toBe('');
}

async function restore(
  fixture: ProviderFixture,
  runtime: VmRuntime,
  vmId: string,
  extra: VmSpec = {},
): Promise<unknown> {
  const { snapshot } = await fixture.golden();
  return runtime.createVmWithSpec(vmId, { restoreFrom: { snapshotUid: snapshot.snapshotUid }, ...extra });
}
