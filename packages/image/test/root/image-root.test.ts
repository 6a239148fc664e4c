import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, link, mkdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { AgentClient } from '@microvm/guest';
import type { ImageConfig } from '@microvm/runtime';
import { beforeAll, describe, expect, test } from 'vitest';
import { createDisk, type DefaultImage, ensureDefaultImage } from '../../src/index.js';
import { makeTempDir } from '../temp-dir.js';
import { makeBusyboxImage, patch } from './busybox-image.js';
import { bootImage, type ImageGuest } from './image-guest.js';

const run = promisify(execFile);

const CONFIG: ImageConfig = {
  env: { GREETING: 'of the image', PATH: '/opt/bin:/bin' },
  workingDir: '/srv/app',
  user: 'app',
  entrypoint: ['start'],
  cmd: ['--fast'],
};

let image: DefaultImage;

beforeAll(async () => {
  image = await ensureDefaultImage();
});

async function makeDisk(): Promise<string> {
  const to = join(await makeTempDir(), 'disk');
  await createDisk({ to, from: image.dataDiskPath });
  return to;
}

const output = async (agent: AgentClient, script: string, user: string | number = 0): Promise<string> => {
  const { stdout, stderr } = await agent.exec({ argv: ['sh', '-c', script], cwd: '/', user }).result;
  return (stdout.toString() + stderr.toString()).trim();
};

async function powerOff({ agent, exited }: ImageGuest): Promise<void> {
  await (await agent).shutdown('poweroff');
  expect(await exited).toBe(0);
}

/** Unmounted, or made read-only: there is no journal to replay. */
async function expectClean(diskPath: string): Promise<void> {
  const { stdout } = await run('dumpe2fs', ['-h', diskPath]);
  expect(stdout).toMatch(/^Filesystem state:\s+clean$/m);
  expect(stdout).not.toContain('needs_recovery');
  await run('e2fsck', ['-fn', diskPath]);
}

const digest = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

test('an image is the root of everything, keeps what is written, and its own file stays as it is', async () => {
  const squashfsPath = await makeBusyboxImage(image, {
    fill: async (root) => {
      await mkdir(join(root, 'opt/bin'), { recursive: true });
      await mkdir(join(root, 'run/app'), { recursive: true });
      await writeFile(join(root, 'run/app/seed'), 'of the image');
      await writeFile(
        join(root, 'opt/bin/start'),
        '#!/bin/sh\necho $0 $1 $(id -u):$(id -G) $PWD $HOME $GREETING\n',
      );
      await chmod(join(root, 'opt/bin/start'), 0o755);
      await writeFile(join(root, 'etc/resolv.conf'), 'nameserver 192.0.2.1\n');
      await writeFile(join(root, 'old'), 'of the image');
      await link(join(root, 'old'), join(root, 'opt/same'));
    },
    pseudo: ['/run/app m 2770 1000 1001', '/device c 666 0 0 1 3'],
  });
  const before = await digest(squashfsPath);
  const diskPath = await makeDisk();
  const guest = await bootImage({ image, diskPath, squashfsPath });
  const agent = await guest.agent;
  await agent.configure({ image: CONFIG });

  const names = 'bin dev device etc old opt proc run sys tmp';
  expect(await output(agent, 'ls / | xargs; stat -c %a /; stat -c "%a %u:%g" /run/app /tmp')).toBe(
    `${names}\n751\n2770 1000:1001\n1777 0:0`,
  );
  const mounts = await output(agent, 'cut -d" " -f1-3 /proc/mounts');
  expect(mounts.split('\n').toSorted()).toEqual([
    '/dev/vda / overlay',
    'cgroup2 /sys/fs/cgroup cgroup2',
    'devpts /dev/pts devpts',
    'devtmpfs /dev devtmpfs',
    'proc /proc proc',
    'sysfs /sys sysfs',
    'tmpfs /dev/shm tmpfs',
    'tmpfs /run tmpfs',
  ]);
  expect(await output(agent, 'ls /proc/1/root | xargs; ls /proc/1/cwd/ | xargs')).toBe(`${names}\n${names}`);
  expect(await output(agent, 'readlink /proc/1/exe; cat /run/app/seed')).toBe(
    '/init (deleted)\nof the image',
  );
  expect(await output(agent, 'echo x > /device && wc -c < /device')).toBe('0');

  const started = await agent.exec({}).result;
  expect(started.stdout.toString()).toBe(
    '/opt/bin/start --fast 1000:1001 1002 /srv/app /home/app of the image\n',
  );
  await expect(agent.exec({ argv: ['/bin/bash'] }).result).rejects.toMatchObject({
    code: 'MICROVM_EXEC_FAILED',
    details: { step: 'exec', errno: 'ENOENT' },
  });

  expect(
    await output(agent, 'cat /etc/hostname /etc/resolv.conf; hostname; grep -c localhost /etc/hosts'),
  ).toBe('microvm\nnameserver 192.0.2.1\nmicrovm\n2');
  const machineId = await output(agent, 'cat /etc/machine-id');
  expect(machineId).toMatch(/^[0-9a-f]{32}$/);
  await agent.freeze();
  await agent.thaw({ epoch: 2, machineId: 'ab'.repeat(16), hostname: 'restored' });
  expect(await output(agent, 'cat /etc/machine-id; hostname')).toBe(`${'ab'.repeat(16)}\nrestored`);

  const secret = { owner: 'app', bytes: Buffer.from('sesame') };
  await agent.configure({ secrets: { keep: [], give: new Map([['key', secret]]) } });
  expect(await output(agent, 'cat /run/secrets/key', 'app')).toBe('sesame');
  await agent.files.writeFile('/new', 'kept');
  expect(await agent.files.readFile('/old', 'utf8')).toBe('of the image');
  // Names of one file of the image stay that when one of them is written.
  await agent.files.writeFile('/opt/same', 'written');
  expect(await output(agent, 'cat /old; stat -c %h /old; stat -c %d / /old | uniq | wc -l')).toBe(
    'written2\n1',
  );
  await agent.files.rm('/old');
  await output(agent, 'mv /opt /moved; echo 127.0.0.1 own > /etc/hosts');
  const listener = await agent.listen({ path: '/run/host.sock' });
  expect(await output(agent, 'ls -l /run/host.sock | cut -c1')).toBe('s');
  await listener.close();
  const { fileSystems } = await agent.metrics();
  expect(fileSystems.map(({ path, type }) => `${path} ${type}`)).toEqual(['/ overlay']);
  await powerOff(guest);
  expect(await guest.console()).toContain('microvm-agent: farewell shutdown');
  expect(await guest.console()).not.toMatch(/stays (mounted|writable)/);
  await expectClean(diskPath);
  expect(await digest(squashfsPath)).toBe(before);

  const again = await bootImage({ image, diskPath, squashfsPath });
  const later = await again.agent;
  expect(
    await output(later, 'ls / | xargs; cat /new /etc/hosts /etc/machine-id; ls /moved/bin; cat /moved/same'),
  ).toBe(
    `bin dev device etc moved new proc run srv sys tmp\nkept127.0.0.1 own\n${'ab'.repeat(16)}\nstart\nwritten`,
  );
  await powerOff(again);
  await expectClean(diskPath);
});

test('an image whose links lead out of it boots, and nothing is written where they lead', async () => {
  const squashfsPath = await makeBusyboxImage(image, {
    etc: '/proc',
    compression: 'lz4',
    fill: async (root) => {
      await symlink('/', join(root, 'dev'));
      await symlink('../../../..', join(root, 'sys'));
      await symlink('/etc', join(root, 'run'));
      await symlink('/nowhere', join(root, 'tmp'));
      await writeFile(join(root, 'proc'), 'a file');
    },
  });
  const diskPath = await makeDisk();
  const guest = await bootImage({ image, diskPath, squashfsPath });
  const agent = await guest.agent;
  await agent.configure({ image: { ...CONFIG, user: '', entrypoint: [], cmd: [] } });
  const types = 'for f in dev etc proc run sys tmp; do stat -c "%F %n" /$f; done';
  expect(await output(agent, types)).toBe(
    'directory /dev\nsymbolic link /etc\ndirectory /proc\ndirectory /run\ndirectory /sys\nsymbolic link /tmp',
  );
  expect(
    await output(agent, 'test -c /dev/null && test -d /proc/1 && test -d /sys/fs/cgroup/workload && pwd'),
  ).toBe('/');
  await agent.freeze();
  await agent.thaw({ epoch: 2, machineId: 'ab'.repeat(16) });
  await agent.configure({
    secrets: { keep: [], give: new Map([['key', { owner: '', bytes: Buffer.from('sesame') }]]) },
  });
  expect(await output(agent, 'cat /run/secrets/key; ls -a /')).toMatch(/^sesame/);
  await powerOff(guest);
  expect(await guest.console()).toContain('microvm-agent: the image has no place for /etc');
  await expectClean(diskPath);
});

describe('a boot ends at once, and says why, with', () => {
  const end = async (change: {
    squashfsPath?: string;
    diskPath?: string;
    args?: string;
  }): Promise<string> => {
    const squashfsPath = change.squashfsPath ?? (await makeBusyboxImage(image));
    const guest = await bootImage({ image, diskPath: await makeDisk(), ...change, squashfsPath });
    const isUp = guest.agent.then(
      () => Promise.reject(new Error('the guest runs')),
      () => undefined,
    );
    await Promise.all([isUp, guest.exited]);
    return /^microvm-agent: cannot boot: (.*?)\r?$/m.exec(await guest.console())?.[1] ?? '';
  };

  test('no squashfs', async () => {
    const squashfsPath = join(await makeTempDir(), 'zeros');
    await writeFile(squashfsPath, Buffer.alloc(1 << 20));
    expect(await end({ squashfsPath })).toBe('/dev/vdb: not a squashfs');
  });

  test('a compression that the kernel does not know', async () => {
    const squashfsPath = await makeBusyboxImage(image);
    await patch(squashfsPath, 20, Buffer.of(99, 0));
    expect(await end({ squashfsPath })).toBe('mount the squashfs /dev/vdb: Invalid argument');
  });

  test('a squashfs that is cut off', async () => {
    const squashfsPath = await makeBusyboxImage(image);
    await truncate(squashfsPath, 8192);
    expect(await end({ squashfsPath })).toMatch(/^mount the squashfs \/dev\/vdb: /);
  });

  test('a disk that is no ext4', async () => {
    const diskPath = join(await makeTempDir(), 'zeros');
    await writeFile(diskPath, Buffer.alloc(1 << 20));
    expect(await end({ diskPath })).toBe('/dev/vda: not an ext4 file system');
  });

  test('an ext4 that is damaged', async () => {
    const diskPath = await makeDisk();
    // The group descriptors, behind the superblock's block.
    await patch(diskPath, 4096, Buffer.alloc(4096, 0xff));
    expect(await end({ diskPath })).toMatch(/^mount the ext4 \/dev\/vda: /);
  });

  test('no such device', async () => {
    expect(await end({ args: 'microvm.image=/dev/vdc' })).toBe('/dev/vdc: not there');
  });

  test('no disk', async () => {
    expect(await end({ args: 'microvm.image=/dev/vdb microvm.data=none' })).toMatch(/^an image needs a disk/);
  });
});
