import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isVmRuntimeError, parseVmSpec, resolveVmSpec, type VmSpec } from '../src/index.js';

function problem(value: unknown): { path: string; expected: string } {
  try {
    parseVmSpec(value);
  } catch (error) {
    if (isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT')) return error.details;
    throw error;
  }
  throw new Error('the spec was accepted');
}

describe('parseVmSpec', () => {
  it.each([
    [{ memSizeMiB: 128 }, 'spec.memSizeMiB', 'did you mean "memSizeMib"?'],
    [{ rootDrive: { path: '/a', readonly: true } }, 'spec.rootDrive.readonly', 'did you mean "readOnly"?'],
    [
      { drives: [{ driveId: 'a', path: '/a', cachetype: 'Unsafe' }] },
      'spec.drives[0].cachetype',
      '"cacheType"',
    ],
  ])('refuses the unknown key in %j with the closest known one', (spec, path, hint) => {
    expect(problem(spec).path).toBe(path);
    expect(problem(spec).expected).toContain(hint);
  });

  it.each([
    [{ memSizeMib: '128' }, 'spec.memSizeMib'],
    [{ memSizeMib: 0 }, 'spec.memSizeMib'],
    [{ memSizeMib: 128.5 }, 'spec.memSizeMib'],
    [{ memSizeMib: Number.NaN }, 'spec.memSizeMib'],
    [{ memSizeMib: 2 ** 50 }, 'spec.memSizeMib'],
    [{ vcpuCount: 33 }, 'spec.vcpuCount'],
    [{ vcpuCount: 3, smt: true }, 'spec.vcpuCount'],
    [{ rootDrive: { path: '' } }, 'spec.rootDrive.path'],
    [{ rootDrive: { path: 'a\0b' } }, 'spec.rootDrive.path'],
    [{ rootDrive: { path: '/a', mode: 'shared', readOnly: false } }, 'spec.rootDrive.readOnly'],
    [{ drives: [{ driveId: 'a-b', path: '/a' }] }, 'spec.drives[0].driveId'],
    [{ image: '' }, 'spec.image'],
    [{ image: 'a b' }, 'spec.image'],
    [{ image: 'a\u0007' }, 'spec.image'],
    [{ image: 'a'.repeat(256) }, 'spec.image'],
    [{ image: 'app', rootDrive: { path: '/a' } }, 'spec.rootDrive'],
    [{ image: 'app', agent: 'none' }, 'spec.agent'],
    [{ image: 'app', drives: [{ driveId: 'image', path: '/a' }] }, 'spec.drives'],
    [{ image: 'app', bootArgs: { append: 'a'.repeat(1025) } }, 'spec.bootArgs'],
    [{ rootSizeMib: 0 }, 'spec.rootSizeMib'],
    [{ image: 'app', rootSizeMib: 15 }, 'spec.rootSizeMib'],
    [{ rootSizeMib: 64, rootDrive: { path: '/a', sizeMib: 64 } }, 'spec.rootSizeMib'],
    [{ rootSizeMib: 64, rootDrive: { path: '/a', mode: 'shared' } }, 'spec.rootSizeMib'],
    [{ drives: [drive('a'), drive('a')] }, 'spec.drives'],
    [{ networkInterfaces: [{ ifaceId: 'e', guestMac: 'no' }] }, 'spec.networkInterfaces[0].guestMac'],
    [
      { networkInterfaces: [{ ifaceId: 'e', hostDevName: 'a-name-that-is-too-long' }] },
      'spec.networkInterfaces[0].hostDevName',
    ],
    [{ egress: { allow: [{ cidr: '10.0.0.0' }] } }, 'spec.egress.allow[0].cidr'],
    [{ balloon: { amountMib: 256 }, memSizeMib: 128 }, 'spec.balloon.amountMib'],
    [{ vsock: { guestCid: 2 } }, 'spec.vsock.guestCid'],
    [{ resumeImmediately: false }, 'spec.resumeImmediately'],
    [{ networkOverrides: [] }, 'spec.networkOverrides'],
    [{ onOwnerDeath: 'die' }, 'spec.onOwnerDeath'],
    [{ shutdownTimeoutMs: -1 }, 'spec.shutdownTimeoutMs'],
    [{ restoreFrom: { vmId: 'a' } }, 'spec.restoreFrom'],
    [{ bootArgs: { append: 'a', replace: 'b' } }, 'spec.bootArgs'],
    [{ bootArgs: { append: 'quiet\ninit=/bin/sh' } }, 'spec.bootArgs'],
    [{ bootArgs: { replace: 'quiet\0' } }, 'spec.bootArgs'],
    [JSON.parse('{ "labels": { "__proto__": "mine" } }'), 'spec.labels.__proto__'],
    [
      JSON.parse('{ "mmds": { "networkInterfaces": ["e"], "data": { "a": [{ "__proto__": 1 }] } } }'),
      'spec.mmds.data.a[0].__proto__',
    ],
    ['spec', 'spec'],
    [null, 'spec'],
  ])('refuses %j and names %s', (spec, path) => {
    expect(problem(spec).path).toBe(path);
    expect(problem(spec).expected).not.toBe('');
  });

  it('makes paths absolute: a later start may come from another folder', () => {
    const spec = parseVmSpec({
      kernelPath: 'kernels/k',
      rootDrive: { path: 'r' },
      drives: [{ driveId: 'a', path: '/d' }],
    });
    expect([spec.kernelPath, spec.rootDrive?.path, spec.drives?.[0]?.path]).toEqual([
      resolve('kernels/k'),
      resolve('r'),
      '/d',
    ]);
  });

  it('takes a drive "image" where no image is', () => {
    expect(parseVmSpec({ drives: [{ driveId: 'image', path: '/a' }] }).drives).toHaveLength(1);
  });

  it('accepts every field that Firecracker has', () => {
    const limiter = {
      bandwidth: { size: 1, refillTimeMs: 1 },
      ops: { size: 1, oneTimeBurst: 2, refillTimeMs: 3 },
    };
    const spec: VmSpec = {
      kernelPath: '/k',
      initrdPath: '/i',
      bootArgs: { append: 'debug' },
      vcpuCount: 2,
      memSizeMib: 256,
      smt: true,
      cpuTemplate: 'T2',
      trackDirtyPages: true,
      hugePages: '2M',
      rootDrive: {
        path: '/r',
        mode: 'private',
        sizeMib: 512,
        cacheType: 'Writeback',
        ioEngine: 'Async',
        rateLimiter: limiter,
      },
      drives: [drive('data')],
      networkInterfaces: [{ ifaceId: 'eth0', hostDevName: 'tap0', mtu: 1500, rxRateLimiter: limiter }],
      egress: { allow: [{ cidr: '10.0.0.0/8', protocol: 'tcp', ports: [443] }] },
      portForwards: [{ hostPort: 8080, guestPort: 80 }],
      vsock: { guestCid: 3 },
      balloon: { amountMib: 64, deflateOnOom: true, statsPollingIntervalS: 1 },
      entropy: {},
      mmds: { version: 'V2', networkInterfaces: ['eth0'], data: { a: [1, 'b'] } },
      serial: { rateLimiter: limiter },
      limits: { cpuCores: 0.5, memoryHeadroomMib: 64, pidsMax: 32 },
      labels: { owner: 'me' },
    };
    expect(parseVmSpec(spec)).toEqual(spec);
  });
});

describe('resolveVmSpec', () => {
  it('takes the spec first, the workspace second, our defaults third', () => {
    const spec = resolveVmSpec({ memSizeMib: 64, vcpuCount: undefined }, { memSizeMib: 256, vcpuCount: 2 });
    expect(spec).toMatchObject({ memSizeMib: 64, vcpuCount: 2, onOwnerDeath: 'keep' });
  });

  it('keeps nothing about the way the VM came to be', () => {
    const restoreFrom = { vmId: 'a', snapshotId: 'b' };
    expect(resolveVmSpec({ restoreFrom, resumeImmediately: true }, {})).not.toHaveProperty('restoreFrom');
  });
});

function drive(driveId: string): { driveId: string; path: string } {
  return { driveId, path: '/d' };
}
