import { execFile } from 'node:child_process';
import { chmod, mkdir, open, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DefaultImage } from '../../src/index.js';
import { makeTempDir } from '../temp-dir.js';

const run = promisify(execFile);

export interface BusyboxImage {
  /** Makes more in the image's tree; the folders `bin` and `etc` are there, unless `etc` is a link. */
  readonly fill?: (root: string) => Promise<void>;
  /** The target of `/etc`, if it is a link. */
  readonly etc?: string;
  /** Definitions of `mksquashfs -p`: owners and devices, which only root can make in a tree. */
  readonly pseudo?: readonly string[];
  readonly compression?: 'gzip' | 'lz4' | 'xz' | 'zstd';
}

/** A squashfs of a static busybox, with its programs as links in `/bin`. Its root folder has the mode 751. */
export async function makeBusyboxImage(base: DefaultImage, options: BusyboxImage = {}): Promise<string> {
  const folder = await makeTempDir();
  const root = join(folder, 'root');
  await mkdir(join(root, 'bin'), { recursive: true });
  await takeBusybox(base, folder, join(root, 'bin/busybox'));
  const { stdout } = await run(join(root, 'bin/busybox'), ['--list']);
  for (const applet of stdout.trim().split('\n'))
    if (applet !== 'busybox') await symlink('busybox', join(root, 'bin', applet));
  if (options.etc === undefined) {
    await mkdir(join(root, 'etc'));
    await writeFile(
      join(root, 'etc/passwd'),
      'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n',
    );
    await writeFile(join(root, 'etc/group'), 'root:x:0:\napp:x:1001:\nextra:x:1002:app\n');
  } else {
    await symlink(options.etc, join(root, 'etc'));
  }
  await options.fill?.(root);
  const squashfs = join(folder, 'image.squashfs');
  const pseudo = (options.pseudo ?? []).flatMap((definition) => ['-p', definition]);
  const how = [
    '-comp',
    options.compression ?? 'zstd',
    '-root-mode',
    '751',
    '-noappend',
    '-quiet',
    '-no-progress',
  ];
  await run('mksquashfs', [root, squashfs, ...how, ...pseudo]);
  return squashfs;
}

/** The busybox of the default image, out of its initramfs. */
async function takeBusybox(base: DefaultImage, folder: string, to: string): Promise<void> {
  await run('sh', ['-c', 'cpio --quiet -idm bin/busybox < "$1"', 'sh', base.initrdPath], { cwd: folder });
  await run('cp', [join(folder, 'bin/busybox'), to]);
  await chmod(to, 0o755);
}

/** Overwrites bytes of a file. */
export async function patch(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
}
