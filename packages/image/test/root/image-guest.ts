import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { AgentClient } from '@microvm/guest';
import { onTestFinished } from 'vitest';
import type { DefaultImage } from '../../src/index.js';
import { makeTempDir } from '../temp-dir.js';

export interface ImageGuestOptions {
  readonly image: DefaultImage;
  /** `/dev/vda`, which is written, and `/dev/vdb`, which is not. */
  readonly diskPath: string;
  readonly squashfsPath: string;
  /** Behind the kernel's other arguments. Default: the image at `/dev/vdb`. */
  readonly args?: string;
}

export interface ImageGuest {
  /** Resolves when the guest runs; rejects when QEMU has ended before. */
  readonly agent: Promise<AgentClient>;
  readonly exited: Promise<number | null>;
  console(): Promise<string>;
}

/** Boots the default kernel and initramfs with an image's root in QEMU, which ends with the test. */
export async function bootImage(options: ImageGuestOptions): Promise<ImageGuest> {
  const { image, diskPath, squashfsPath, args = 'microvm.image=/dev/vdb' } = options;
  const folder = await makeTempDir();
  const server = createServer().listen(join(folder, 'agent.sock'));
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const connected = once(server, 'connection') as Promise<[Socket]>;
  const vmm = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-M',
        'microvm,acpi=on,rtc=on',
        '-accel',
        'tcg,thread=multi',
        '-cpu',
        'max',
        '-m',
        '160',
        '-smp',
        '1',
      ],
      ...['-nodefaults', '-no-user-config', '-nographic', '-no-reboot'],
      ...['-serial', `file:${join(folder, 'console')}`],
      ...['-kernel', image.kernelPath, '-initrd', image.initrdPath],
      ...['-append', `${image.bootArgs} tsc_early_khz=${await hostKhz()} ${args}`],
      ...[
        '-device',
        'virtio-serial-device',
        '-chardev',
        `socket,id=agent,path=${join(folder, 'agent.sock')}`,
      ],
      ...['-device', 'virtserialport,chardev=agent,name=microvm.agent'],
      ...disk('disk', diskPath, false),
      ...disk('image', squashfsPath, true),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const exited = once(vmm, 'exit').then(([code]) => code as number | null);
  onTestFinished(async () => {
    if (vmm.exitCode === null && vmm.signalCode === null) vmm.kill('SIGKILL');
    await exited;
  });
  const ended = exited.then((code) => Promise.reject(new Error(`QEMU ended with ${code}`)));
  const agent = Promise.race([connected.then(([socket]) => connect(socket)), ended]);
  agent.catch(() => undefined);
  return { agent, exited, console: () => readFile(join(folder, 'console'), 'utf8') };
}

function connect(socket: Socket): Promise<AgentClient> {
  return AgentClient.connect(socket, { vm: { vmId: 'image-test' }, timeoutMs: 600_000 });
}

function disk(id: string, path: string, isReadOnly: boolean): string[] {
  const drive = `if=none,id=${id},file=${path},format=raw,read-only=${isReadOnly ? 'on' : 'off'}`;
  return ['-drive', drive, '-device', `virtio-blk-device,drive=${id}`];
}

/** Without the hint an emulated guest now and then waits for ever for a timer while it measures its clock. */
async function hostKhz(): Promise<number> {
  const cpu = await readFile('/proc/cpuinfo', 'utf8');
  const mhz = /^cpu MHz\s*: ([\d.]+)$/m.exec(cpu)?.[1];
  if (mhz === undefined) throw new Error('/proc/cpuinfo has no clock rate');
  return Math.round(Number(mhz) * 1000);
}
