import { PROGRAM_NAMES } from '../programs/program-names.js';
import { FileSystem } from './file-system.js';
import type { FileTree } from './file-tree.js';
import type { Inode } from './inode.js';

const FOLDERS: readonly (readonly [path: string, mode: number])[] = [
  ['/bin', 0o755],
  ['/dev', 0o755],
  ['/etc', 0o755],
  ['/home', 0o755],
  ['/lib', 0o755],
  ['/mnt', 0o755],
  ['/opt', 0o755],
  ['/proc', 0o555],
  ['/root', 0o700],
  ['/run', 0o755],
  ['/sbin', 0o755],
  ['/srv', 0o755],
  ['/sys', 0o555],
  ['/tmp', 0o1777],
  ['/usr', 0o755],
  ['/usr/lib', 0o755],
  ['/usr/sbin', 0o755],
  ['/usr/local', 0o755],
  ['/usr/local/bin', 0o755],
  ['/usr/share', 0o755],
  ['/var', 0o755],
  ['/var/log', 0o755],
  ['/var/tmp', 0o1777],
];

const LINKS: readonly (readonly [path: string, target: string])[] = [
  ['/sbin/poweroff', '../bin/poweroff'],
  ['/sbin/reboot', '../bin/reboot'],
  ['/usr/bin', '../bin'],
];

const FILES: readonly (readonly [path: string, text: string])[] = [
  ['/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n'],
  ['/etc/group', 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n'],
  ['/etc/hostname', 'microvm\n'],
  ['/etc/hosts', '127.0.0.1 localhost microvm\n'],
  ['/etc/os-release', 'NAME="microvm in memory"\nID=microvm-in-memory\n'],
];

/** Their names are files; what opening them gives is `openDevice`'s to say. */
const DEVICES = ['full', 'null', 'random', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero'];

/** What the file of a built-in program holds, before the program's name. */
export const PROGRAM_MARK = '\x7fELF in memory: ';

/** The paths that every guest's root disk has. */
export const BASE_PATHS: readonly string[] = [
  ...FOLDERS.map(([path]) => path),
  ...LINKS.map(([path]) => path),
  ...FILES.map(([path]) => path),
  ...DEVICES.map((name) => `/dev/${name}`),
  ...PROGRAM_NAMES.map((name) => `/bin/${name}`),
];

/** Gives an empty tree what every guest's root disk has: folders, accounts, devices and programs. */
export function fillBase(tree: FileTree): void {
  const files = new FileSystem(tree, { uid: 0, gid: 0 }, 0);
  for (const [path, mode] of FOLDERS) files.mkdir(path, mode);
  for (const [path, target] of LINKS) files.symlink(target, path);
  for (const [path, text] of FILES) files.writeFile(path, text, 0o644);
  for (const name of DEVICES) files.writeFile(`/dev/${name}`, '', 0o666);
  for (const name of PROGRAM_NAMES) files.writeFile(`/bin/${name}`, `${PROGRAM_MARK}${name}\n`, 0o755);
  markBase(tree.root);
}

/** Takes all that is there for what the guest did not write. */
export function markBase(inode: Inode): void {
  inode.isBase = true;
  inode.mtimeMs = 0;
  for (const entry of inode.entries.values()) markBase(entry);
}
