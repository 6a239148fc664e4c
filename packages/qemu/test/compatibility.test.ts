import { planDrives } from '@microvm/driver-kit';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  isVmRuntimeError,
  resolveVmSpec,
  type JsonObject,
  type ResolvedVmSpec,
  type RestoreSource,
  type VmSpec,
} from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { QemuHost } from '../src/host/qemu-host.js';
import { checkSnapshot, describeMachine } from '../src/vm/compatibility.js';

const host: QemuHost = {
  qemuPath: '/usr/bin/qemu-system-x86_64',
  qemuVersion: '7.2.22',
  accelerator: 'tcg',
  tscKhz: 2_596_098,
  cpuFingerprint: 'abc',
};

function resolve(spec: VmSpec): ResolvedVmSpec {
  return resolveVmSpec(spec, { kernelPath: '/k' });
}

async function sourceOf(spec: ResolvedVmSpec, taker: QemuHost = host): Promise<RestoreSource> {
  const compatibility = await describeMachine(taker, spec, planDrives(spec), 'apart');
  return {
    snapshotUid: '0'.repeat(32),
    directory: '/nowhere',
    memory: true,
    parts: [],
    vmmVersion: taker.qemuVersion,
    // What comes back from a manifest.
    compatibility: JSON.parse(JSON.stringify(compatibility)) as JsonObject,
    networkOverrides: [],
  };
}

async function reasonAgainst(
  source: RestoreSource,
  spec: ResolvedVmSpec,
  here: QemuHost = host,
): Promise<string> {
  const error = await checkSnapshot(here, source, spec).catch((thrown: unknown) => thrown);
  if (error === undefined) return 'none';
  if (!isVmRuntimeError(error, 'MICROVM_SNAPSHOT_INCOMPATIBLE')) throw error;
  return error.details.reason;
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
    expect(await reasonAgainst(await sourceOf(spec, { ...host, ...other }), spec)).toMatch(reason);
  });

  it.each([
    ['a later patch of the same release', { qemuVersion: '7.2.23' }],
    ['the same clock, measured at another boot', { tscKhz: 2_596_120 }],
    ['a clock that nobody knows', { tscKhz: undefined }],
    ['another processor, as it is emulated', { cpuFingerprint: 'other' }],
  ])('takes one that was taken with %s', async (_what, other) => {
    expect(await reasonAgainst(await sourceOf(spec, { ...host, ...other }), spec)).toBe('none');
  });

  it('refuses another processor under KVM, where the guest sees it', async () => {
    const kvm = { ...host, accelerator: 'kvm' as const };
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

  it('refuses a shared drive that changed or went away: the guest has read from it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'qemu-shared-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'shared.img');
    await writeFile(path, 'before');
    const sharing = resolve({ drives: [{ driveId: 'tools', path, mode: 'shared' }] });
    const source = await sourceOf(sharing);
    expect(await reasonAgainst(source, sharing)).toBe('none');
    await writeFile(path, 'afterwards');
    expect(await reasonAgainst(source, sharing)).toMatch(/^sharedDrives: /);
    await rm(path);
    expect(await reasonAgainst(source, sharing)).toMatch(/^a shared drive: ENOENT/);
  });

  it('asks nothing of a snapshot without memory', async () => {
    const source = { ...(await sourceOf(spec)), memory: false, compatibility: {}, vmmVersion: '1.0.0' };
    expect(await reasonAgainst(source, spec)).toBe('none');
  });
});
