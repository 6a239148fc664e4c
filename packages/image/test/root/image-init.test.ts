import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { createDisk, type DefaultImage, ensureDefaultImage } from '../../src/index.js';
import { makeTempDir } from '../temp-dir.js';
import { makeBusyboxImage } from './busybox-image.js';
import { bootImage, type ImageGuest } from './image-guest.js';

// It ends the guest by the signal that asks systemd to power off: SIGRTMIN+4.
const INIT = `#!/bin/sh
trap 'echo init ends; exec poweroff -f' 38
echo init began as $$
while :; do sleep 0.1; done
`;

let image: DefaultImage;

beforeAll(async () => {
  image = await ensureDefaultImage();
});

async function boot(init: string | undefined): Promise<ImageGuest> {
  const squashfsPath = await makeBusyboxImage(image, {
    fill: async (root) => {
      await mkdir(join(root, 'sbin'));
      if (init === undefined) return;
      await writeFile(join(root, 'sbin/init'), init);
      await chmod(join(root, 'sbin/init'), 0o755);
    },
  });
  const diskPath = join(await makeTempDir(), 'disk');
  await createDisk({ to: diskPath, from: image.dataDiskPath });
  return bootImage({ image, diskPath, squashfsPath, args: 'microvm.image=/dev/vdb microvm.init=image' });
}

test('the image’s own init is process 1, the agent works beside it, and a stop asks the init', async () => {
  const guest = await boot(INIT);
  const agent = await guest.agent;
  const output = async (script: string): Promise<string> => {
    const { stdout, stderr } = await agent.exec({ argv: ['sh', '-c', script] }).result;
    return (stdout.toString() + stderr.toString()).trim();
  };
  expect(
    await output('xargs -0 < /proc/1/cmdline; cat /proc/1/oom_score_adj; ls /proc/1/fd | xargs'),
  ).toMatch(/^\/bin\/sh \/sbin\/init\n0\n0 1( 10)? 2$/);
  // The root of its cgroups is what the agent freezes, and the agent is not in it.
  expect(
    await output('grep -x 1 /sys/fs/cgroup/cgroup.procs; grep -c . /sys/fs/cgroup/cgroup.procs'),
  ).toMatch(/^1\n[12]$/);
  expect(
    await output('for p in /proc/[0-9]*; do xargs -0 < $p/cmdline; done 2>/dev/null | grep -c "^@"'),
  ).toBe('1');
  await agent.freeze();
  await agent.thaw({ epoch: 2 });
  await agent.shutdown('poweroff');
  expect(await agent.farewell).toEqual({ reason: 'shutdown', action: 'poweroff' });
  expect(await guest.exited).toBe(0);
  const lines = (await guest.console()).split(/\r?\n/);
  expect(lines).toEqual(
    expect.arrayContaining(['init began as 1', 'microvm-agent: farewell shutdown', 'init ends']),
  );
});

test('a boot whose image has no init ends at once, and says so', async () => {
  const guest = await boot(undefined);
  await guest.exited;
  expect(await guest.console()).toContain(
    'microvm-agent: cannot boot: run /sbin/init of the image: No such file or directory',
  );
});
