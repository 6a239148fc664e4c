import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseVmSpec, resolveVmSpec, type DriverVm, type VmSpec } from '@microvm/runtime';
import { beforeAll, afterAll, describe, expect, it } from 'vitest';
import type { HostFacts } from '../src/host/host-facts.js';
import { checkSpec } from '../src/vm/check-spec.js';
import { checkCapture, checkPause } from '../src/vm/pause.js';
import { hostFacts } from './host.js';

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

const check = (on: HostFacts, spec: VmSpec): Promise<void> =>
  checkSpec(on, resolveVmSpec(parseVmSpec({ kernelPath: elf, ...spec }), {}), spec);

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
    await expect(check(hostFacts(), spec)).rejects.toMatchObject(error);
  });

  it.each<[string, string, VmSpec]>([
    ['1.15.0', 'Firecracker 1.16.0', { networkInterfaces: [{ ...nic, mtu: 1400 }] }],
    [
      '1.15.1',
      'Firecracker 1.16.0',
      { serial: { rateLimiter: { bandwidth: { size: 1, refillTimeMs: 1 } } } },
    ],
    ['1.13.1', 'Firecracker 1.14.0', { balloon: { amountMib: 0, freePageReporting: true } }],
  ])('that %s lacks is refused with the release that has it', async (version, availableIn, spec) => {
    await expect(check(hostFacts(version), spec)).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
      details: { availableIn: expect.stringContaining(availableIn) as string },
    });
    await check(hostFacts('1.17.0'), spec);
  });

  it('may name a CPU template where Firecracker keeps what the guest needs of it', async () => {
    const spec: VmSpec = { cpuTemplate: 'T2' };
    await check(hostFacts('1.16.1', { kernelRelease: '6.12.48-cloud-amd64' }), spec);
    await check(hostFacts('1.16.2', { kernelRelease: '6.18.0' }), spec);
    await check(hostFacts('1.16.1', { kernelRelease: '6.18.0' }), { cpuTemplate: 'None' });
    for (const kernelRelease of ['6.13.0-rc1', '6.18.3', '7.0.0']) {
      await expect(check(hostFacts('1.16.1', { kernelRelease }), spec)).rejects.toMatchObject({
        code: 'MICROVM_UNSUPPORTED',
        details: {
          feature: `spec.cpuTemplate on Linux ${kernelRelease}`,
          availableIn: expect.stringContaining('Firecracker 1.16.2') as string,
        },
      });
    }
  });

  it('may name a compressed kernel where Firecracker takes one', async () => {
    await check(hostFacts('1.17.0'), { kernelPath: bzImage });
    await check(hostFacts('1.16.1'), { kernelPath: elf });
    await expect(check(hostFacts('1.16.1'), { kernelPath: bzImage })).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
    });
  });

  it('asks for a jail and for limits only where there are such', async () => {
    await expect(check(hostFacts('1.17.0', { jailerPath: undefined }), { jail: true })).rejects.toMatchObject(
      {
        code: 'MICROVM_UNSUPPORTED',
      },
    );
    const noCgroup = hostFacts('1.17.0', { cgroupMount: undefined });
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
    settings: undefined,
  });

  it('are refused where the guest’s vsock would not survive them', () => {
    for (const broken of ['1.16.0', '1.16.1']) {
      const { version } = hostFacts(broken);
      expect(() => checkPause(version, vm({}))).toThrow(/Firecracker 1\.16\.2 or one before 1\.16\.0/);
      expect(() => checkCapture(version, vm({}), true)).toThrow(/1\.16\.2/);
      checkPause(version, vm({ agent: 'none' }));
      checkCapture(version, vm({}), false);
    }
    for (const sound of ['1.13.0', '1.15.1', '1.16.2', '1.17.0-dev', '1.17.0']) {
      checkPause(hostFacts(sound).version, vm({}));
      checkCapture(hostFacts(sound).version, vm({}), true);
    }
  });

  it('with memory is refused for a VM on huge pages', () => {
    const { version } = hostFacts();
    expect(() => checkCapture(version, vm({ hugePages: '2M' }), true)).toThrow(/huge pages/);
    checkCapture(version, vm({ hugePages: '2M' }), false);
  });
});
