import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { AgentClient } from '@microvm/guest';
import type { DefaultImage } from '../../src/index.js';
import { startQemu } from '../start-qemu.js';

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
  const { exited, socket, folder } = await startQemu({
    ...{ kernelPath: image.kernelPath, initrdPath: image.initrdPath, hasPort: true },
    ...{ bootArgs: `${image.bootArgs} ${args}`, memSizeMib: 160 },
    disks: [
      { path: diskPath, isReadOnly: false },
      { path: squashfsPath, isReadOnly: true },
    ],
  });
  const ended = exited.then((code) => Promise.reject(new Error(`QEMU ended with ${code}`)));
  const agent = Promise.race([socket.then(connect), ended]);
  agent.catch(() => undefined);
  return { agent, exited, console: () => readFile(join(folder, 'console'), 'utf8') };
}

function connect(socket: Socket): Promise<AgentClient> {
  return AgentClient.connect(socket, { vm: { vmId: 'image-test' }, timeoutMs: 600_000 });
}
