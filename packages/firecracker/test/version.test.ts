import { describe, expect, it } from 'vitest';
import { VmmVersion } from '../src/api/version.js';

const version = (text: string): VmmVersion => {
  const found = VmmVersion.find(text);
  if (found === undefined) throw new Error(`no version in "${text}"`);
  return found;
};

describe('a version of Firecracker', () => {
  it('is found in what the programs print', () => {
    expect(version('Firecracker v1.17.0-dev\n\n').text).toBe('1.17.0-dev');
    expect(version('Jailer v1.16.1').release).toBe('1.16');
    expect(VmmVersion.find('Firecracker')).toBeUndefined();
  });

  it('is compared number by number', () => {
    expect(version('1.9.0').isAtLeast('1.13.0')).toBe(false);
    expect(version('1.13.0').isAtLeast('1.13.0')).toBe(true);
    expect(version('1.16.1').isAtLeast('1.16.0')).toBe(true);
    expect(version('2.0.0').isAtLeast('1.17.3')).toBe(true);
    expect(version('1.17.0-dev').isAtLeast('1.17.0')).toBe(true);
  });

  it('says which release has what it lacks', () => {
    const old = version('1.15.0');
    expect(old.supports('mtu')).toBe(false);
    expect(old.lacks('mtu', 'spec.networkInterfaces[0].mtu')).toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: {
        feature: 'spec.networkInterfaces[0].mtu',
        availableIn: 'Firecracker 1.16.0, this is 1.15.0',
      },
    });
  });
});
