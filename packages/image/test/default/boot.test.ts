import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { AgentClient } from '@microvm/guest';
import { expect, onTestFinished, test } from 'vitest';
import { createDisk, type DefaultImage, ensureDefaultImage } from '../../src/index.js';
import { AGENT_PORT, type QemuOptions, type StartedQemu, startQemu } from '../start-qemu.js';
import { makeTempDir } from '../temp-dir.js';

const BOOT_TIMEOUT_MS = 600_000;

interface BootedGuest {
  readonly agent: AgentClient;
  readonly vmm: ChildProcess;
}

/** Boots the image in QEMU with the disk as /dev/vda. The VMM is killed after the test, however that ends. */
async function boot(image: DefaultImage, kernelPath: string, diskPath: string): Promise<BootedGuest> {
  const { bootArgs } = image;
  const { vmm, socket } = await start(image, { kernelPath, diskPath, bootArgs, hasPort: true });
  const vm = { vmId: 'boot-test' };
  const agent = await AgentClient.connect(await socket, { vm, timeoutMs: BOOT_TIMEOUT_MS });
  return { agent, vmm };
}

type StartOptions = Pick<QemuOptions, 'kernelPath' | 'bootArgs' | 'hasPort'> & { readonly diskPath: string };

function start({ initrdPath }: DefaultImage, { diskPath, ...options }: StartOptions): Promise<StartedQemu> {
  const disks = [{ path: diskPath, isReadOnly: false }];
  return startQemu({ ...options, initrdPath, memSizeMib: 128, disks });
}

/** Runs QMP commands in one session. */
async function monitor(folder: string): Promise<(execute: string, args?: object) => Promise<unknown>> {
  const socket = connect(join(folder, 'qmp.sock'));
  onTestFinished(() => void socket.destroy());
  const lines = createInterface(socket)[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> =>
    JSON.parse(((await lines.next()) as { value: string }).value) as Record<string, unknown>;
  await next();
  const run = async (execute: string, args: object = {}): Promise<unknown> => {
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const { return: answer, error } = await next();
      if (error !== undefined) throw new Error(`${execute}: ${JSON.stringify(error)}`);
      if (answer !== undefined) return answer; // else it is an event
    }
  };
  await run('qmp_capabilities');
  return run;
}

async function shell(agent: AgentClient, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await agent.exec({ argv: ['sh', '-c', script] }).result;
  if (exitCode !== 0) throw new Error(`${script}: exit code ${exitCode}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

test('the default image boots to an agent that runs commands, with its modules loaded and a disk that keeps what is written', async () => {
  const image = await ensureDefaultImage();
  const disk = await createDisk({
    to: join(await makeTempDir(), 'disk'),
    from: image.dataDiskPath,
    sizeBytes: 128 * 1024 * 1024,
  });
  const { agent, vmm } = await boot(image, image.kernelPath, disk.path);
  expect(await shell(agent, 'uname -r')).toBe(image.kernelRelease);
  const modules = await shell(agent, 'cut -d" " -f1 /proc/modules');
  const wanted = ['virtio_console', 'virtio_blk', 'virtio_net', 'virtio_rng', 'virtio_balloon'];
  const furtherWanted = [
    'button',
    'evdev',
    'pvpanic_mmio',
    'vmw_vsock_virtio_transport',
    'vsock_loopback',
    'squashfs',
    'overlay',
  ];
  expect(modules.split('\n')).toEqual(expect.arrayContaining([...wanted, ...furtherWanted]));
  await shell(agent, 'mount -t ext4 /dev/vda /mnt && echo kept > /mnt/file && umount /mnt');
  expect(await shell(agent, 'mount -t ext4 /dev/vda /mnt && cat /mnt/file')).toBe('kept');
  const [blocks = 0, blockBytes = 0] = (await shell(agent, 'stat -f -c "%b %S" /mnt')).split(' ').map(Number);
  expect(blocks * blockBytes).toBeGreaterThan(100 * 1024 * 1024);
  const exited = once(vmm, 'exit');
  await agent.shutdown('poweroff');
  expect(await exited).toEqual([0, null]);
});

test('the bzImage boots as well', async () => {
  const image = await ensureDefaultImage();
  expect(image.bzImagePath).not.toBe(image.kernelPath);
  const disk = await createDisk({ to: join(await makeTempDir(), 'disk'), from: image.dataDiskPath });
  const { agent } = await boot(image, image.bzImagePath, disk.path);
  expect(await shell(agent, 'uname -r; id -un; readlink /proc/1/exe; stat -c %F,%t,%T /dev/console')).toBe(
    `${image.kernelRelease}\nroot\n/init\ncharacter special file,5,1`,
  );
});

test('the agent waits for its port however late that comes', async () => {
  const image = await ensureDefaultImage();
  const disk = await createDisk({ to: join(await makeTempDir(), 'disk'), from: image.dataDiskPath });
  // `quiet` would hide the line that is waited for; the image's own arguments have it.
  const { socket, folder } = await start(image, {
    ...{ kernelPath: image.kernelPath, diskPath: disk.path, hasPort: false },
    bootArgs: 'console=ttyS0 reboot=t panic=-1',
  });
  const consoleText = (): Promise<string> => readFile(join(folder, 'console'), 'utf8').catch(() => '');
  await expect.poll(consoleText).toContain('EXT4-fs (vda): mounted');
  const qmp = await monitor(folder);
  const seconds = async (): Promise<number> => {
    const clock = await qmp('qom-get', { path: '/machine', property: 'rtc-time' });
    const { tm_min: minute, tm_sec: second } = clock as { tm_min: number; tm_sec: number };
    return minute * 60 + second;
  };
  // By the guest's own clock: it has looked for the port for a good while and was idle.
  const since = await seconds();
  const searched = async (): Promise<number> => ((await seconds()) - since + 3600) % 3600;
  await expect.poll(searched).toBeGreaterThan(1);
  await qmp('device_add', { ...AGENT_PORT, bus: 'serial.0', id: 'late' });
  const vm = { vmId: 'boot-test' };
  const agent = await AgentClient.connect(await socket, { vm, timeoutMs: BOOT_TIMEOUT_MS });
  expect(await shell(agent, 'echo here')).toBe('here');
});
