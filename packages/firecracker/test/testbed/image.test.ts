import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { destroyAll } from '@microvm/conformance';
import { outputOf } from '@microvm/conformance/linux-guest';
import { openImages } from '@microvm/image';
import type { VmRuntime } from '@microvm/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFirecrackerRuntime, probeFirecracker } from '../../src/index.js';

/* VMs that are made from an image, in jails: the image is one file that all of them read. */

const report = await probeFirecracker();
const reasons = report.findings.filter(({ severity }) => severity === 'error').map(({ message }) => message);
const title = report.usable ? 'an image in jailed VMs' : `not run: ${reasons.join('; ')}`;
const TIMEOUT_MS = 600_000;

/** What the image says of commands, by OCI's names. */
const CONFIG = {
  Env: ['GREETING=of the image', 'PATH=/bin'],
  User: 'app',
  WorkingDir: '/srv/app',
  Entrypoint: ['/bin/sh', '-c'],
  Cmd: ['echo $GREETING $(pwd) $(id -u)'],
};

/** The root file system of an image: busybox, two users and a file. */
async function makeRootfs(root: string): Promise<void> {
  await mkdir(join(root, 'bin'), { recursive: true });
  await mkdir(join(root, 'etc'));
  await copyFile('/bin/busybox', join(root, 'bin', 'busybox'));
  for (const applet of ['sh', 'cat', 'echo', 'id', 'pwd', 'df', 'sleep', 'sync', 'ls'])
    await symlink('busybox', join(root, 'bin', applet));
  await writeFile(
    join(root, 'etc', 'passwd'),
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n',
  );
  await writeFile(join(root, 'etc', 'group'), 'root:x:0:\napp:x:1000:\n');
  await writeFile(join(root, 'etc', 'origin'), 'the image\n');
}

describe.skipIf(!report.usable)(title, { timeout: TIMEOUT_MS }, () => {
  let folder: string;
  let runtime: VmRuntime;
  let digest: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'firecracker-image-'));
    const imageStore = join(folder, 'store');
    await makeRootfs(join(folder, 'rootfs'));
    const built = await openImages({ imageStore }).build(join(folder, 'rootfs'), 'app', { config: CONFIG });
    digest = built.digest;
    runtime = await createFirecrackerRuntime({ stateDir: join(folder, 'state'), imageStore });
    await runtime.createVmWithSpec('a', { image: 'app', rootSizeMib: 128, memSizeMib: 192 });
    await runtime.startVm('a');
  }, TIMEOUT_MS);
  afterAll(async () => {
    await destroyAll(runtime);
    await runtime.close();
    await rm(folder, { recursive: true });
  }, TIMEOUT_MS);

  it('says what runs, as whom, where and with which variables', async () => {
    const guest = await runtime.guest('a');
    const { stdout } = await guest.exec({}).result;
    expect(stdout.toString()).toBe('of the image /srv/app 1000\n');
    expect((await runtime.getVm('a'))?.image).toEqual({ name: 'app', digest });
  });

  it('is the root of all that the guest has, with a disk of its own that has the size asked for', async () => {
    const guest = await runtime.guest('a');
    const asRoot = async (script: string): Promise<string> => {
      const { stdout } = await guest.exec({ argv: ['sh', '-c', script], user: 'root', cwd: '/' }).result;
      return stdout.toString().trim();
    };
    expect(await asRoot('ls /')).toBe('bin\ndev\netc\nproc\nrun\nsrv\nsys\ntmp');
    expect(await asRoot('cat /etc/origin')).toBe('the image');
    const sizeKib = Number((await asRoot('df -k /')).split('\n').at(-1)?.trim().split(/\s+/)[1]);
    expect(sizeKib).toBeGreaterThan(100 * 1024);
    expect(sizeKib).toBeLessThanOrEqual(128 * 1024);
    await asRoot('echo changed > /etc/origin; sync');
    expect(await asRoot('cat /etc/origin')).toBe('changed');
  });

  it('goes on in three clones of a snapshot, none of which sees what another one writes', async () => {
    const { snapshotUid } = await runtime.snapshotVm('a', 'one');
    const clones = ['one', 'two', 'three'];
    await Promise.all(clones.map((vmId) => runtime.createVmWithSpec(vmId, { restoreFrom: { snapshotUid } })));
    for (const vmId of clones) {
      const guest = await runtime.guest(vmId);
      const { stdout } = await guest.exec({
        argv: ['sh', '-c', `cat /etc/origin; echo ${vmId} > /etc/origin; sync; cat /etc/origin`],
        ...{ user: 'root', cwd: '/' },
      }).result;
      expect(stdout.toString()).toBe(`changed\n${vmId}\n`);
    }
    expect(await outputOf(await runtime.guest('a'), 'cat /etc/origin')).toBe('changed');
    for (const vmId of clones) await runtime.destroyVm(vmId);
  });

  it('is there again after a stop, with what was written above it', async () => {
    await runtime.stopVm('a');
    await runtime.startVm('a');
    expect(await outputOf(await runtime.guest('a'), 'cat /etc/origin; pwd')).toBe('changed\n/srv/app');
  });

  it('is for another VM what it was for the first one, whatever that one wrote', async () => {
    await runtime.createVmWithSpec('b', { image: digest });
    await runtime.startVm('b');
    expect(await outputOf(await runtime.guest('b'), 'cat /etc/origin')).toBe('the image');
    const record = await readFile(join(folder, 'state', 'vms', await instanceOf('b'), 'vm.json'), 'utf8');
    expect(record).toContain(digest);
  });

  async function instanceOf(vmId: string): Promise<string> {
    return (await runtime.getVm(vmId))?.instanceId ?? '';
  }
});
