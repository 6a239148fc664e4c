import { MIB, resolveVmSpec, type JsonObject, type RestoreSource, type VmSpec } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import type { HostFacts } from '../src/host/host-facts.js';
import { checkSnapshot, describeCompatibility } from '../src/vm/compatibility.js';
import { hostFacts } from './host.js';

const resolve = (spec: VmSpec) => resolveVmSpec(spec, { kernelPath: '/k' });
const PARTS: RestoreSource['parts'] = [
  { name: 'vmstate', role: 'vmstate', sizeBytes: 1024 },
  { name: 'memory', role: 'memory', sizeBytes: 128 * MIB },
];

function sourceOf(taker: HostFacts, spec: VmSpec = {}): RestoreSource {
  const compatibility = describeCompatibility(taker, resolve(spec));
  return {
    snapshotUid: '0'.repeat(32),
    directory: '/nowhere',
    memory: true,
    parts: PARTS,
    vmmVersion: taker.version.text,
    // What comes back from a manifest.
    compatibility: JSON.parse(JSON.stringify(compatibility)) as JsonObject,
    networkOverrides: [],
  };
}

const check = async (here: HostFacts, source: RestoreSource, spec: VmSpec = {}): Promise<void> =>
  checkSnapshot(here, source, resolve(spec));

const firecracker = (version: string, snapshotFormat: string | null): HostFacts =>
  hostFacts(version, { snapshotFormat });

describe('a snapshot with memory', () => {
  it.each([
    ['1.16.2', '11.0.0', '1.17.0-dev', '11.0.0'],
    ['1.17.0', '12.0.0', '1.17.3', '12.1.0'],
    ['1.15.0', '9.0.0', '1.15.1', '9.0.0'],
  ])('of Firecracker %s (format %s) is loaded by %s (format %s)', async (taken, format, here, own) => {
    await check(firecracker(here, own), sourceOf(firecracker(taken, format)));
  });

  it.each([
    ['1.16.1', '10.0.0', '1.16.2', '11.0.0'],
    ['1.17.0-dev', '11.0.0', '1.17.0', '12.0.0'],
    ['1.17.3', '12.1.0', '1.17.0', '12.0.0'],
  ])('of Firecracker %s (format %s) is refused by %s (format %s)', async (taken, format, here, own) => {
    const refused = check(firecracker(here, own), sourceOf(firecracker(taken, format)));
    await expect(refused).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_INCOMPATIBLE',
      details: {
        reason: `taken with Firecracker ${taken}, this is ${here}: format ${format}, not ${own}`,
      },
    });
  });

  it('whose format nobody noted is loaded by the same release only', async () => {
    const { snapshotFormat: _, ...older } = sourceOf(firecracker('1.17.0', null)).compatibility;
    const source = { ...sourceOf(firecracker('1.17.0', null)), compatibility: older };
    await check(firecracker('1.17.1', '12.0.0'), source);
    await expect(check(firecracker('1.18.0', '12.0.0'), source)).rejects.toThrow(/format unknown/);
    await expect(check(firecracker('1.18.0', null), source)).rejects.toThrow(/format unknown/);
  });

  it('is refused on another processor or with another template', async () => {
    const source = sourceOf(hostFacts());
    await expect(check(hostFacts('1.17.0', { cpuFingerprint: 'y' }), source)).rejects.toThrow(/cpu: /);
    await expect(check(hostFacts(), source, { cpuTemplate: 'T2' })).rejects.toThrow(/cpuTemplate: /);
  });

  it('is refused when its description is none of this driver', async () => {
    const source = { ...sourceOf(hostFacts()), compatibility: { memoryForm: 'chain' } };
    await expect(check(hostFacts(), source)).rejects.toMatchObject({ code: 'MICROVM_SNAPSHOT_INCOMPATIBLE' });
  });

  it.each<[string, RestoreSource['parts'], string]>([
    ['no part', [], 'vmstate'],
    ['a state larger than Firecracker reads', [{ ...PARTS[0]!, sizeBytes: 11 * MIB }, PARTS[1]!], 'vmstate'],
    ['less memory than the VM has', [PARTS[0]!, { ...PARTS[1]!, sizeBytes: 64 * MIB }], 'memory'],
    [
      'a disk that the VM has not',
      [...PARTS, { name: 'disk-root.raw', role: 'disk', sizeBytes: 512 }],
      'disk-root.raw',
    ],
  ])('is refused when its manifest lists %s', async (_what, parts, part) => {
    await expect(check(hostFacts(), { ...sourceOf(hostFacts()), parts })).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_CORRUPT',
      details: { part },
    });
  });
});
