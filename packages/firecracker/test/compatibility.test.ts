import { planDrives } from '@microvm/driver-kit';
import { resolveVmSpec, type JsonObject, type RestoreSource, type VmSpec } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import type { FirecrackerHost } from '../src/host/firecracker-host.js';
import { checkSnapshot, describeCompatibility } from '../src/vm/compatibility.js';
import { host } from './host.js';

const resolve = (spec: VmSpec) => resolveVmSpec(spec, { kernelPath: '/k' });

async function sourceOf(taker: FirecrackerHost, spec: VmSpec = {}): Promise<RestoreSource> {
  const compatibility = await describeCompatibility(taker, resolve(spec), planDrives(resolve(spec)));
  return {
    snapshotUid: '0'.repeat(32),
    directory: '/nowhere',
    memory: true,
    parts: [],
    vmmVersion: taker.version.text,
    // What comes back from a manifest.
    compatibility: JSON.parse(JSON.stringify(compatibility)) as JsonObject,
    networkOverrides: [],
  };
}

const check = (here: FirecrackerHost, source: RestoreSource, spec: VmSpec = {}): Promise<void> =>
  checkSnapshot(here, source, resolve(spec));

const firecracker = (version: string, snapshotFormat: string | null): FirecrackerHost =>
  host(version, { snapshotFormat });

describe('a snapshot with memory', () => {
  it.each([
    ['1.16.2', '11.0.0', '1.17.0-dev', '11.0.0'],
    ['1.17.0', '12.0.0', '1.17.3', '12.1.0'],
    ['1.15.0', '9.0.0', '1.15.1', '9.0.0'],
  ])('of Firecracker %s (format %s) is loaded by %s (format %s)', async (taken, format, here, own) => {
    await check(firecracker(here, own), await sourceOf(firecracker(taken, format)));
  });

  it.each([
    ['1.16.1', '10.0.0', '1.16.2', '11.0.0'],
    ['1.17.0-dev', '11.0.0', '1.17.0', '12.0.0'],
    ['1.17.3', '12.1.0', '1.17.0', '12.0.0'],
  ])('of Firecracker %s (format %s) is refused by %s (format %s)', async (taken, format, here, own) => {
    const refused = check(firecracker(here, own), await sourceOf(firecracker(taken, format)));
    await expect(refused).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_INCOMPATIBLE',
      details: {
        reason: `taken with Firecracker ${taken}, this is ${here}: format ${format}, not ${own}`,
      },
    });
  });

  it('whose format nobody noted is loaded by the same release only', async () => {
    const { snapshotFormat: _, ...older } = (await sourceOf(firecracker('1.17.0', null))).compatibility;
    const source = { ...(await sourceOf(firecracker('1.17.0', null))), compatibility: older };
    await check(firecracker('1.17.1', '12.0.0'), source);
    await expect(check(firecracker('1.18.0', '12.0.0'), source)).rejects.toThrow(/format unknown/);
    await expect(check(firecracker('1.18.0', null), source)).rejects.toThrow(/format unknown/);
  });

  it('is refused on another processor or with another template', async () => {
    const source = await sourceOf(host());
    await expect(check(host('1.17.0', { cpuFingerprint: 'y' }), source)).rejects.toThrow(/cpu: /);
    await expect(check(host(), source, { cpuTemplate: 'T2' })).rejects.toThrow(/cpuTemplate: /);
  });

  it('is refused when its description is none of this driver', async () => {
    const source = { ...(await sourceOf(host())), compatibility: { memoryForm: 'chain' } };
    await expect(check(host(), source)).rejects.toMatchObject({ code: 'MICROVM_SNAPSHOT_INCOMPATIBLE' });
  });
});
