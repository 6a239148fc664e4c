import type { VmSpec } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

type BadSpec = readonly [title: string, spec: unknown, path: string, hint?: string];

const UNKNOWN_KEYS: readonly BadSpec[] = [
  ['memory in another unit', { memSizeMb: 128 }, 'spec.memSizeMb', 'memSizeMib'],
  ['a misspelt count', { vcpuCounts: 1 }, 'spec.vcpuCounts', 'vcpuCount'],
  ['a key in another case', { memsizemib: 128 }, 'spec.memsizemib', 'memSizeMib'],
  ['a time in another unit', { shutdownTimeoutSec: 5 }, 'spec.shutdownTimeoutSec', 'shutdownTimeoutMs'],
  ['a nested key', { rootDrive: { path: '/x', readonly: true } }, 'spec.rootDrive.readonly', 'readOnly'],
  ['a key inside of an array', { drives: [{ driveId: 'a', file: '/x' }] }, 'spec.drives[0]'],
];

const BAD_VALUES: readonly BadSpec[] = [
  ['no vCPU', { vcpuCount: 0 }, 'spec.vcpuCount'],
  ['a negative number of vCPUs', { vcpuCount: -1 }, 'spec.vcpuCount'],
  ['33 vCPUs', { vcpuCount: 33 }, 'spec.vcpuCount'],
  ['one vCPU and a half', { vcpuCount: 1.5 }, 'spec.vcpuCount'],
  ['a number of vCPUs as a text', { vcpuCount: '1' }, 'spec.vcpuCount'],
  ['not-a-number', { vcpuCount: Number.NaN }, 'spec.vcpuCount'],
  ['an odd number of vCPUs with smt', { smt: true, vcpuCount: 3 }, 'spec.vcpuCount'],
  ['no memory', { memSizeMib: 0 }, 'spec.memSizeMib'],
  ['memory in bytes', { memSizeMib: 128 * 1024 * 1024 }, 'spec.memSizeMib'],
  ['endless memory', { memSizeMib: Number.POSITIVE_INFINITY }, 'spec.memSizeMib'],
  ['an empty path', { kernelPath: '' }, 'spec.kernelPath'],
  ['a path with a NUL', { kernelPath: '/boot/\0' }, 'spec.kernelPath'],
  ['a negative time', { shutdownTimeoutMs: -1 }, 'spec.shutdownTimeoutMs'],
  ['a console without space', { consoleLimitBytes: 1 }, 'spec.consoleLimitBytes'],
  ['an unknown policy', { onGuestReboot: 'halt' }, 'spec.onGuestReboot'],
  ['a label that is not a text', { labels: { a: 1 } }, 'spec.labels.a'],
  ['a writable share', { rootDrive: { path: '/x', mode: 'shared', readOnly: false } }, 'spec.rootDrive'],
  [
    'one drive id twice',
    {
      drives: [
        { driveId: 'a', path: '/x' },
        { driveId: 'a', path: '/y' },
      ],
    },
    'spec.drives',
  ],
  ['a balloon beyond the memory', { memSizeMib: 128, balloon: { amountMib: 129 } }, 'spec.balloon.amountMib'],
  ['resumeImmediately without a snapshot', { resumeImmediately: true }, 'spec.resumeImmediately'],
  ['networkOverrides without a snapshot', { networkOverrides: [] }, 'spec.networkOverrides'],
  ['a snapshot without a name', { restoreFrom: {} }, 'spec.restoreFrom'],
  ['null', null, 'spec'],
  ['a text', '{}', 'spec'],
  ['an array', [], 'spec'],
  ['nothing', undefined, 'spec'],
];

/** What a spec may say, and what becomes of it. */
export function registerSpecs(fixture: ProviderFixture): void {
  describe('specs', () => {
    for (const bad of UNKNOWN_KEYS) {
      test(`an unknown key is refused with the nearest known one: ${bad[0]}`, () =>
        refusesSpec(fixture, bad));
    }
    for (const bad of BAD_VALUES) {
      test(`a wrong value is refused before any effect: ${bad[0]}`, () => refusesSpec(fixture, bad));
    }
    test('what a spec says is in the view, and the defaults beside it', () => showsSpec(fixture));
    test("the runtime's defaults apply to what a spec leaves out", () => appliesDefaults(fixture));
    test('more memory than the driver can give is refused', () => refusesBeyondLimits(fixture));
    test('a spec is read at the call: changing it afterwards changes nothing', () => copiesSpec(fixture));
  });
}

async function refusesSpec(fixture: ProviderFixture, [, spec, path, hint]: BadSpec): Promise<void> {
  const runtime = await fixture.open();
  const jobs = (await runtime.listJobs()).length;
  const error = await withoutEffect(runtime, () =>
    refusal('MICROVM_INVALID_ARGUMENT', runtime.createVmWithSpec(fixture.newId(), spec as VmSpec)),
  );
  expect(error.details.path.startsWith(path), `path "${error.details.path}", expected "${path}"`).toBe(true);
  if (hint !== undefined) expect(error.details.expected).toContain(hint);
  expect(await runtime.listJobs(), 'no job was made of it').toHaveLength(jobs);
}

async function showsSpec(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const labels = { purpose: 'conformance' };
  const view = await runtime.createVmWithSpec(
    fixture.newId(),
    fixture.spec({ labels, shutdownTimeoutMs: 1234 }),
  );
  expect(view.spec).toMatchObject({ ...fixture.factory.spec, labels, shutdownTimeoutMs: 1234 });
  expect(view.spec.vcpuCount).toBeGreaterThan(0);
  expect(view.spec.memSizeMib).toBeGreaterThan(0);
  expect(view.spec.onOwnerDeath).toMatch(/^(keep|destroy)$/);
  expect(view).toMatchObject({ state: 'created', snapshots: [] });
  expect(view.instanceId).toMatch(/^[0-9a-f]+$/);
}

async function appliesDefaults(fixture: ProviderFixture): Promise<void> {
  const defaults = fixture.spec({ shutdownTimeoutMs: 4321, labels: { from: 'defaults' } });
  const runtime = await fixture.fresh({ defaults });
  const plain = await runtime.createVm(fixture.newId());
  expect(plain.spec).toMatchObject(defaults);
  const own = await runtime.createVmWithSpec(fixture.newId(), { shutdownTimeoutMs: 1 });
  expect(own.spec).toMatchObject({ ...defaults, shutdownTimeoutMs: 1 });
}

async function refusesBeyondLimits(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const { maxMemSizeMib, maxVcpuCount } = fixture.capabilities.limits;
  const specs = [{ memSizeMib: maxMemSizeMib + 1 }, { vcpuCount: maxVcpuCount + 1 }];
  await withoutEffect(runtime, async () => {
    for (const spec of specs) {
      const error = await refusal(
        'MICROVM_INVALID_ARGUMENT',
        runtime.createVmWithSpec(fixture.newId(), spec),
      );
      expect(error.details.path).toBe(`spec.${Object.keys(spec).join()}`);
    }
  });
}

async function copiesSpec(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const spec = fixture.spec({ labels: { kept: 'yes' } }) as { labels: Record<string, string> };
  const creation = runtime.createVmWithSpec(fixture.newId(), spec);
  spec.labels['kept'] = 'no';
  const { vmId } = await creation;
  expect((await runtime.getVm(vmId))?.spec.labels).toEqual({ kept: 'yes' });
}
