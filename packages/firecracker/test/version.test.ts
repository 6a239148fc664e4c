import { describe, expect, it } from 'vitest';
import { VmmVersion } from '../src/api/version.js';
import { versionFindings } from '../src/host/version-findings.js';
import { versionOf } from './host.js';

describe('a version of Firecracker', () => {
  it('is found in what the programs print', () => {
    expect(versionOf('Firecracker v1.17.0-dev\n\n').text).toBe('1.17.0-dev');
    expect(versionOf('Jailer v1.16.1').release).toBe('1.16');
    expect(VmmVersion.find('Firecracker')).toBeUndefined();
  });

  it('is compared number by number', () => {
    expect(versionOf('1.9.0').isAtLeast('1.13.0')).toBe(false);
    expect(versionOf('1.13.0').isAtLeast('1.13.0')).toBe(true);
    expect(versionOf('1.16.1').isAtLeast('1.16.0')).toBe(true);
    expect(versionOf('2.0.0').isAtLeast('1.17.3')).toBe(true);
    expect(versionOf('1.17.0-dev').isAtLeast('1.17.0')).toBe(true);
  });

  it('says which release has what it lacks', () => {
    const old = versionOf('1.15.0');
    expect(old.supports('mtu')).toBe(false);
    expect(old.lacks('mtu', 'spec.networkInterfaces[0].mtu')).toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: {
        feature: 'spec.networkInterfaces[0].mtu',
        availableIn: 'Firecracker 1.16.0, this is 1.15.0',
      },
    });
  });

  it('is not taken for the release that it was to become, where that got something at last', () => {
    const [before, then, after] = [versionOf('1.17.0-dev'), versionOf('1.17.0'), versionOf('1.18.0-dev')];
    expect([before, then, after].map((version) => version.supports('unsynced-dump'))).toEqual([
      false,
      true,
      true,
    ]);
  });

  it('counts as without what only releases between two have broken', () => {
    const broken = versionOf('1.16.1');
    expect(broken.supports('vsock-pause')).toBe(false);
    expect(broken.lacks('vsock-pause', 'a pause')).toMatchObject({
      details: { availableIn: 'Firecracker 1.16.2 or one before 1.16.0, this is 1.16.1' },
    });
    const sound = ['1.13.0', '1.15.1', '1.16.2', '1.17.0-dev'];
    expect(sound.filter((text) => !versionOf(text).supports('vsock-pause'))).toEqual([]);
  });
});

describe('what the probe says of a version', () => {
  const codes = (version: string, kernelRelease: string): string[] =>
    versionFindings(versionOf(version), kernelRelease).map(({ code }) => code);

  it.each<[string, string, string[]]>([
    ['1.17.0', '6.12.0', []],
    ['1.16.1', '6.12.0', ['firecracker-vsock-pause-broken']],
    ['1.15.1', '6.12.0', ['firecracker-console-after-restore']],
    ['1.17.0', '6.1.0-31-cloud-amd64', ['linux-slow-young-snapshots']],
    ['1.13.0', '5.10.0', ['firecracker-console-after-restore', 'linux-slow-young-snapshots']],
  ])('of Firecracker %s on Linux %s is what it costs there', (version, kernelRelease, expected) => {
    expect(codes(version, kernelRelease)).toEqual(expected);
  });
});
