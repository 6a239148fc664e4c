import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ensureDefaultImage, openImages } from '@microvm/image';
import { expect, it, onTestFinished } from 'vitest';

const run = promisify(execFile);
const tsx = createRequire(import.meta.url).resolve('tsx');
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A folder that is a root file system: a busybox, and a user. */
async function makeRootfs(folder: string): Promise<void> {
  const busybox = join(dirname((await ensureDefaultImage()).dataDiskPath), 'busybox');
  for (const name of ['bin', 'etc']) await mkdir(join(folder, name), { recursive: true });
  await copyFile(busybox, join(folder, 'bin/busybox'));
  for (const applet of ['sh', 'cat', 'echo', 'id']) await symlink('busybox', join(folder, 'bin', applet));
  await writeFile(join(folder, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n');
}

it('runs the image’s own command, and keeps what a VM writes from other VMs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'example-own-image-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const imageStore = join(folder, 'store');
  const rootfs = join(folder, 'rootfs');
  await makeRootfs(rootfs);
  const { digest } = await openImages({ imageStore }).build(rootfs, 'app', {
    config: {
      Env: ['GREETING=hello'],
      User: 'app',
      WorkingDir: '/srv/work',
      Cmd: ['/bin/sh', '-c', 'echo "$GREETING from $(id -un) in $(pwd)"'],
    },
  });
  const { stdout } = await run(process.execPath, ['--import', tsx, '--conditions=@microvm/source', source], {
    env: { ...process.env, MICROVM_DRIVER: 'qemu', MICROVM_IMAGE_STORE: imageStore },
  });
  expect(stdout.trim().split('\n')).toEqual([
    `app is ${digest}`,
    'hello from app in /srv/work',
    'written by the first',
    'there is no note',
  ]);
});
