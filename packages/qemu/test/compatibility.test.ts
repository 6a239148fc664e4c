import {
  isVmRuntimeError,
  resolveVmSpec,
  type JsonObject,
  type ResolvedVmSpec,
  type RestoreSource,
  type VmSpec,
} from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import type { HostFacts } from '../src/host/host-facts.js';
import { checkSnapshot, describeMachine } from '../src/vm/compatibility.js';

const hostFacts: HostFacts = {
  qemuPath: '/usr/bin/qemu-system-x86_64',
  qemuVersion: '7.2.22',
  accelerator: 'tcg',
  tscKhz: 2_596_098,
  cpuFingerprint: 'abc',
};

function resolve(spec: VmSpec): ResolvedVmSpec {
  return resolveVmSpec(spec, { kernelPath: '/k' });
}

async function sourceOf(spec: ResolvedVmSpec, taker: HostFacts = hostFacts): Promise<RestoreSource> {
  const compatibility = describeMachine(taker, spec, 'apart');
  return {
    snapshotUid: '0'.repeat(32),
    directory: '/nowhere',
    memory: true,
    parts: partsOfSpec(spec),
    vmmVersion: taker.qemuVersion,
    // What comes back from a manifest.
    compatibility: JSON.parse(JSON.stringify(compatibility)) as JsonObject,
    networkOverrides: [],
  };
}

const check = async (here: HostFacts, source: RestoreSource, spec: ResolvedVmSpec): Promise<void> =>
  checkSnapshot(here, source, spec);

async function reasonAgainst(
  source: RestoreSource,
  spec: ResolvedVmSpec,
  here: HostFacts = hostFacts,
): Promise<string> {
  const error = await check(here, source, spec).catch((thrown: unknown) => thrown);
  if (error === undefined) return 'none';
  if (!isVmRuntimeError(error, 'MICROVM_SNAPSHOT_INCOMPATIBLE')) throw error;
  return error.details.reason;
}

type Parts = RestoreSource['parts'];

function partsOfSpec(spec: ResolvedVmSpec): Parts {
  const disk = spec.rootDrive === undefined ? [] : [{ name: 'disk-root.raw', role: 'disk', sizeBytes: 512 }];
  return [
    { name: 'vmstate', role: 'vmstate', sizeBytes: 1024 },
    { name: 'memory', role: 'memory', sizeBytes: spec.memSizeMib * 1024 * 1024 },
    ...disk,
  ] as Parts;
}

describe('checkSnapshot', () => {
  const spec = resolve({ rootDrive: { path: '/d' }, entropy: {} });

  it('takes a snapshot of the same machine', async () => {
    expect(await reasonAgainst(await sourceOf(spec), spec)).toBe('none');
  });

  it.each([
    ['another release of QEMU', { qemuVersion: '8.2.0' }, /taken with QEMU 8\.2\.0/],
    ['another accelerator', { accelerator: 'kvm' as const }, /accelerator: taken with "kvm"/],
    ['a clock that counts faster', { tscKhz: 3_000_000 }, /2596098 kHz/],
  ])('refuses one that was taken with %s', async (_what, other, reason) => {
    expect(await reasonAgainst(await sourceOf(spec, { ...hostFacts, ...other }), spec)).toMatch(reason);
  });

  it.each([
    ['a later patch of the same release', { qemuVersion: '7.2.23' }],
    ['the same clock, measured at another boot', { tscKhz: 2_596_120 }],
    ['a clock that nobody knows', { tscKhz: undefined }],
    ['another processor, as it is emulated', { cpuFingerprint: 'other' }],
  ])('takes one that was taken with %s', async (_what, other) => {
    expect(await reasonAgainst(await sourceOf(spec, { ...hostFacts, ...other }), spec)).toBe('none');
  });

  it('refuses another processor under KVM, where the guest sees it', async () => {
    const kvm = { ...hostFacts, accelerator: 'kvm' as const };
    const source = await sourceOf(spec, { ...kvm, cpuFingerprint: 'other' });
    expect(await reasonAgainst(source, spec, kvm)).toMatch(/^cpu: /);
  });

  it('refuses other devices, which QEMU would load and the guest would hang on', async () => {
    const source = await sourceOf(spec);
    expect(await reasonAgainst(source, resolve({ rootDrive: { path: '/d' } }))).toMatch(/^devices: /);
  });

  it('refuses a description that it cannot read', async () => {
    const source = { ...(await sourceOf(spec)), compatibility: { machine: 'pc' } };
    expect(await reasonAgainst(source, spec)).toContain('not one of this driver');
  });

  it.each<[string, (parts: Parts) => Parts]>([
    ['a part is missing', (parts) => parts.slice(1)],
    ['there are none', () => []],
    ['there is one more', (parts) => [...parts, { name: 'disk-drive-x.raw', role: 'disk', sizeBytes: 512 }]],
    ['a part has another role', ([first, ...rest]) => [{ ...(first as Parts[0]), role: 'kernel' }, ...rest]],
    ['memory is smaller than the VM’s', (parts) => parts.map((part) => ({ ...part, sizeBytes: 512 }))],
  ])('refuses a snapshot whose manifest does not list what is read: %s', async (_what, change) => {
    const source = await sourceOf(spec);
    const changed = { ...source, parts: change(source.parts) };
    await expect(check(hostFacts, changed, spec)).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_CORRUPT',
    });
  });

  it('asks nothing but its disks of a snapshot without memory', async () => {
    const parts = partsOfSpec(spec).filter(({ role }) => role === 'disk');
    const other = { memory: false, compatibility: {}, vmmVersion: '1.0.0', parts };
    const source = { ...(await sourceOf(spec)), ...other };
    expect(await reasonAgainst(source, spec)).toBe('none');
  });
});
