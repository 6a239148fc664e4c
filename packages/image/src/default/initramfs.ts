import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type CpioEntry, writeCpio } from './cpio.js';

export interface InitramfsParts {
  /** The guest agent, a static executable; it becomes `/init`. */
  readonly agent: Buffer;
  readonly busyboxPath: string;
  /** Where busybox's own applets go, as `busybox --list-full` prints them: `usr/bin/wc`. */
  readonly applets: readonly string[];
  /** Module files in load order. */
  readonly modulePaths: readonly string[];
  readonly kernelRelease: string;
}

const DIRECTORIES: readonly (readonly [path: string, mode: number])[] = [
  ['bin', 0o755],
  ['dev', 0o755],
  ['etc', 0o755],
  ['etc/microvm', 0o755],
  ['lib', 0o755],
  ['lib/modules', 0o755],
  ['mnt', 0o755],
  ['proc', 0o555],
  ['root', 0o700],
  ['run', 0o755],
  ['sbin', 0o755],
  ['sys', 0o555],
  ['tmp', 0o1777],
  ['usr', 0o755],
  ['var', 0o755],
  ['var/tmp', 0o1777],
];

const ETC_FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  'etc/group': 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
};

/**
 * The initial RAM disk: the agent as `/init`, busybox, the kernel modules and their list in load order in
 * `/etc/microvm/modules`. The same parts give the same bytes.
 */
export async function buildInitramfs(parts: InitramfsParts): Promise<Buffer> {
  const moduleDirectory = `lib/modules/${parts.kernelRelease}`;
  const modules = await Promise.all(
    parts.modulePaths.map(async (path) => ({
      path: `${moduleDirectory}/${basename(path)}`,
      data: await readFile(path),
    })),
  );
  const moduleList = modules.map(({ path }) => `/${path}\n`).join('');
  return writeCpio([
    ...DIRECTORIES.map(([path, mode]): CpioEntry => ({ kind: 'directory', path, mode })),
    { kind: 'directory', path: moduleDirectory, mode: 0o755 },
    // The kernel opens it for init's standard streams before init can mount a devtmpfs.
    { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    file('init', 0o755, parts.agent),
    file('bin/busybox', 0o755, await readFile(parts.busyboxPath)),
    ...appletLinks(parts.applets),
    { kind: 'symlink', path: 'usr/bin', target: '../bin' },
    { kind: 'symlink', path: 'usr/sbin', target: '../sbin' },
    ...Object.entries(ETC_FILES).map(([path, text]) => file(path, 0o644, Buffer.from(text))),
    file('etc/microvm/modules', 0o644, Buffer.from(moduleList)),
    ...modules.map(({ path, data }) => file(path, 0o644, data)),
  ]);
}

function file(path: string, mode: number, data: Buffer): CpioEntry {
  return { kind: 'file', path, mode, data };
}

/** Links in /bin and /sbin; `linuxrc` and what else busybox would put elsewhere has no place here. */
function appletLinks(applets: readonly string[]): CpioEntry[] {
  const paths = new Set<string>();
  for (const applet of applets) {
    const match = /^(?:usr\/)?(s?bin\/[^/]+)$/.exec(applet);
    if (match?.[1] !== undefined && match[1] !== 'bin/busybox') paths.add(match[1]);
  }
  const links = [...paths].toSorted();
  return links.map((path) => ({ kind: 'symlink', path, target: '/bin/busybox' }));
}
