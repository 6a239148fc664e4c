import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseVmSpec, resolveVmSpec, type DriverVm, type VmSpec } from '@microvm/runtime';
import { beforeAll, afterAll, describe, expect, it } from 'vitest';
import { VmmVersion } from '../src/api/version.js';
import type { FirecrackerHost } from '../src/host/firecracker-host.js';
import { checkSpec } from '../src/vm/check-spec.js';
import { checkCapture, checkPause } from '../src/vm/pause.js';

let folder: string;
let elf: string;
let bzImage: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fc-spec-'));
  elf = join(folder, 'vmlinux');
  bzImage = join(folder, 'bzImage');
  await writeFile(elf, Buffer.from('7f454c4602010100', 'hex'));
  await writeFile(bzImage, 'MZ and so on');
});
afterAll(() => rm(folder, { recursive: true }));

function host(version = '1.17.0', extra: Partial<FirecrackerHost> = {}): FirecrackerHost {
  const found = VmmVersion.find(version);
  if (found === undefined) throw new Error(version);
  return {
    firecrackerPath: '/f',
    execFile: '/e',
    jailerPath: '/j',
    version: found,
    cpuFingerprint: 'x',
    cgroupMount: '/c',
    ...extra,
  };
}

const check = (on: FirecrackerHost, spec: VmSpec): Promise<void> =>
  checkSpec(on, resolveVmSpec(parseVmSpec({ kernelPath: elf, ...spec }), {}));

const nic = { ifaceId: 'eth0', hostDevName: 'tap0' };

describe('a spec', () => {
  it.each<[string, VmSpec, object]>([
    [
      'a network of the runtime’s own',
      { networkInterfaces: [{ ifaceId: 'eth0' }] },
      { code: 'MICROVM_UNSUPPORTED' },
    ],
    [
      'interfaces in two namespaces',
      {
        networkInterfaces: [
          { ...nic, netnsPath: '/a' },
          { ifaceId: 'eth1', hostDevName: 'tap1' },
        ],
      },
      { details: { path: 'spec.networkInterfaces[1].netnsPath' } },
    ],
    [
      'a metadata service on an interface that is not there',
      { networkInterfaces: [nic], mmds: { networkInterfaces: ['eth1'] } },
      { details: { path: 'spec.mmds.networkInterfaces[0]' } },
    ],
    [
      'a drive with the root drive’s id',
      { rootDrive: { path: '/r' }, drives: [{ driveId: 'root', path: '/d' }] },
      { details: { path: 'spec.drives[0].driveId' } },
    ],
    [
      'a limit of operations on the console',
      { serial: { rateLimiter: { ops: { size: 1, refillTimeMs: 1 } } } },
      { details: { feature: 'spec.serial.rateLimiter.ops' } },
    ],
    [
      'an odd size on huge pages',
      { hugePages: '2M', memSizeMib: 129 },
      { details: { path: 'spec.memSizeMib' } },
    ],
    [
      'a disk that is not there',
      { rootDrive: { path: '/nope' } },
      { details: { path: 'spec.rootDrive.path' } },
    ],
  ])('is refused for %s', async (_, spec, error) => {
    await expect(check(host(), spec)).rejects.toMatchObject(error);
  });

  it.each<[string, string, VmSpec]>([
    ['1.15.0', 'Firecracker 1.16.0', { networkInterfaces: [{ ...nic, mtu: 1400 }] }],
    [
      '1.15.1',
      'Firecracker 1.16.0',
      { serial: { rateLimiter: { bandwidth: { size: 1, refillTimeMs: 1 } } } },
    ],
  ])('that %s lacks is refused with the release that has it', async (version, availableIn, spec) => {
    await expect(check(host(version), spec)).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: { availableIn: expect.stringContaining(availableIn) as string },
    });
    await check(host('1.17.0'), spec);
  });

  it('may name a compressed kernel where Firecracker takes one', async () => {
    await check(host('1.17.0'), { kernelPath: bzImage });
    await check(host('1.16.1'), { kernelPath: elf });
    await expect(check(host('1.16.1'), { kernelPath: bzImage })).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
    });
  });

  it('asks for a jail and for limits only where there are such', async () => {
    await expect(check(host('1.17.0', { jailerPath: undefined }), { jail: true })).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
    });
    const noCgroup = host('1.17.0', { cgroupMount: undefined });
    await expect(check(noCgroup, { limits: { pidsMax: 9 } })).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
    });
  });
});

describe('a pause and a capture', () => {
  const vm = (spec: VmSpec): DriverVm => ({
    instanceId: 'i',
    vmId: 'v',
    spec: resolveVmSpec(spec, {}),
    plan: {},
    directory: undefined,
    vmm: undefined,
  });

  it('are refused where the guest’s vsock would not survive them', () => {
    const [old, now] = [host('1.16.1').version, host('1.17.0').version];
    expect(() => checkPause(old, vm({}))).toThrow(/1\.17\.0/);
    expect(() => checkCapture(old, vm({}), true)).toThrow(/1\.17\.0/);
    checkPause(old, vm({ agent: 'none' }));
    checkCapture(old, vm({}), false);
    checkPause(now, vm({}));
  });

  it('with memory is refused for a VM on huge pages', () => {
    const { version } = host();
    expect(() => checkCapture(version, vm({ hugePages: '2M' }), true)).toThrow(/huge pages/);
    checkCapture(version, vm({ hugePages: '2M' }), false);
  });
});
