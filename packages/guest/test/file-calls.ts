import { constants } from 'node:fs';
import type * as node from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestFiles } from '@microvm/runtime';

/** What both have: a test that runs on each of them tells where the guest differs from Node. */
export type Files = Pick<GuestFiles, keyof GuestFiles & keyof typeof node>;

export async function populate(files: Files, root: string): Promise<void> {
  await files.mkdir(join(root, 'folder/below/deep'), { recursive: true });
  await files.writeFile(join(root, 'file'), 'some text');
  await files.writeFile(join(root, 'folder/one'), '1');
  await files.writeFile(join(root, 'folder/below/two'), '22');
  await files.symlink('file', join(root, 'link'));
  await files.symlink('nowhere', join(root, 'dangling'));
  await files.symlink('loop', join(root, 'loop'));
  await files.utimes(join(root, 'file'), 1_000, 2_000.5);
}

/** The outcome of a call, with what differs from folder to folder left out. */
export async function outcome(root: string, call: Promise<unknown>): Promise<unknown> {
  const anywhere = (value: unknown): unknown => {
    if (typeof value === 'string') return value.replaceAll(root, '/root').replace(/(made-).{6}$/, '$1');
    if (Array.isArray(value)) return value.map(anywhere).sort();
    return value;
  };
  try {
    return { value: anywhere(await call) };
  } catch (error) {
    const { code, errno, syscall, path, dest } = error as NodeJS.ErrnoException & { dest?: string };
    return { code, errno, syscall, path: anywhere(path), dest: anywhere(dest) };
  }
}

const show = (stats: node.FileHandle extends never ? never : Awaited<ReturnType<Files['stat']>>): string =>
  [
    ...[stats.mode, stats.nlink, stats.uid, stats.gid, stats.size, stats.blksize, stats.blocks, stats.rdev],
    ...[stats.isFile(), stats.isDirectory(), stats.isSymbolicLink(), stats.isFIFO(), stats.isSocket()],
  ].join(' ');

/** Calls that a guest answers as Node does, each on a folder that `populate` has filled. */
export const CALLS: Readonly<
  Record<string, (files: Files, at: (name: string) => string) => Promise<unknown>>
> = {
  'reads a file': (f, at) => f.readFile(at('file'), 'utf8'),
  'reads a file through a link': (f, at) => f.readFile(at('link'), { encoding: 'hex' }),
  'reads no folder': async (f, at) => {
    const error = (await f
      .readFile(at('folder'))
      .catch((reason: unknown) => reason)) as NodeJS.ErrnoException;
    return [error.code, error.syscall]; // Node leaves the path out, and the guest does not.
  },
  'reads nothing that is not there': (f, at) => f.readFile(at('no')),
  'reads no dangling link': (f, at) => f.readFile(at('dangling')),
  'reads no loop': (f, at) => f.readFile(at('loop')),
  'reads nothing below a file': (f, at) => f.readFile(at('file/below')),
  'reads no name that is too long': (f, at) => f.readFile(at('x'.repeat(300))),
  'reads no path that is too long': (f, at) => f.readFile(at('x/'.repeat(3_000))),
  'writes and reads': async (f, at) => {
    await f.writeFile(at('new'), 'caf\u00e9');
    await f.appendFile(at('new'), Buffer.from([0, 255]));
    await f.writeFile(at('mode'), 'x', { mode: 0o600 });
    return [await f.readFile(at('new'), 'hex'), show(await f.stat(at('mode')))];
  },
  'empties before it writes': async (f, at) => {
    await f.writeFile(at('file'), 'x');
    return f.readFile(at('file'), 'utf8');
  },
  'makes nothing twice': (f, at) => f.writeFile(at('file'), 'x', { flag: 'wx' }),
  'writes no folder': (f, at) => f.writeFile(at('folder'), 'x'),
  'writes nothing into a folder that is not there': (f, at) => f.writeFile(at('no/file'), 'x'),
  'tells of a file': async (f, at) => show(await f.stat(at('file'))),
  'tells of times': async (f, at) => {
    const { atimeMs, mtimeMs, mtime } = await f.stat(at('file'));
    return [atimeMs, mtimeMs, mtime.toISOString()].join(' ');
  },
  'tells of a link': async (f, at) => show(await f.lstat(at('link'))),
  'tells of a device': async (f) => show(await f.stat('/dev/null')),
  'tells of nothing': (f, at) => f.stat(at('no')),
  'tells of no link': (f, at) => f.lstat(at('no')),
  'lists a folder': (f, at) => f.readdir(at('.')),
  'lists folders below': (f, at) => f.readdir(at('.'), { recursive: true }),
  'lists entries': async (f, at) =>
    (await f.readdir(at('.'), { withFileTypes: true })).map(
      (entry) => `${entry.name} ${entry.isFile()} ${entry.isDirectory()} ${entry.isSymbolicLink()}`,
    ),
  'lists entries below': async (f, at) =>
    (await f.readdir(at('folder'), { withFileTypes: true, recursive: true })).map(
      ({ name, parentPath }) => `${name} in ${parentPath}`,
    ),
  'lists no file': (f, at) => f.readdir(at('file')),
  'lists nothing': (f, at) => f.readdir(at('no')),
  'makes a folder': (f, at) => f.mkdir(at('made')),
  'makes folders': (f, at) => f.mkdir(at('a/b/c'), { recursive: true }),
  'makes folders that are there': (f, at) => f.mkdir(at('folder/below'), { recursive: true }),
  'makes no folder twice': (f, at) => f.mkdir(at('folder')),
  'makes no folder where a file is': (f, at) => f.mkdir(at('file'), { recursive: true }),
  'makes no folder below a file': (f, at) => f.mkdir(at('file/a'), { recursive: true }),
  'makes no folder without its parent': (f, at) => f.mkdir(at('no/a')),
  'makes a folder with a mode': async (f, at) => {
    await f.mkdir(at('made'), { mode: 0o700 });
    return show(await f.stat(at('made')));
  },
  'removes a file': async (f, at) => {
    await f.rm(at('file'));
    return f.readdir(at('.'));
  },
  'removes a tree': async (f, at) => {
    await f.rm(at('folder'), { recursive: true });
    return f.readdir(at('.'));
  },
  'removes a link and not its target': async (f, at) => {
    await f.symlink(at('folder'), at('to-folder'));
    await f.rm(at('to-folder'), { recursive: true });
    return f.readdir(at('folder'));
  },
  'removes no folder without being asked': (f, at) => f.rm(at('folder')),
  'removes nothing': (f, at) => f.rm(at('no')),
  'removes nothing by force': (f, at) => f.rm(at('no'), { force: true, recursive: true }),
  'removes no folder that is not empty': (f, at) => f.rmdir(at('folder')),
  'removes no folder by unlink': (f, at) => f.unlink(at('no')),
  renames: async (f, at) => {
    await f.rename(at('file'), at('renamed'));
    return f.readdir(at('.'));
  },
  'renames nothing': (f, at) => f.rename(at('no'), at('renamed')),
  'renames no folder over a file': (f, at) => f.rename(at('folder'), at('file')),
  'copies a file': async (f, at) => {
    await f.chmod(at('file'), 0o640);
    await f.copyFile(at('file'), at('copy'));
    return [await f.readFile(at('copy'), 'utf8'), show(await f.stat(at('copy')))];
  },
  'copies over no file when told so': (f, at) =>
    f.copyFile(at('file'), at('folder/one'), constants.COPYFILE_EXCL),
  'copies nothing': (f, at) => f.copyFile(at('no'), at('copy')),
  'changes a mode': async (f, at) => {
    await f.chmod(at('link'), 0o4711);
    return show(await f.stat(at('file')));
  },
  'changes no mode of nothing': (f, at) => f.chmod(at('no'), 0o600),
  'changes no owner of nothing': (f, at) => f.chown(at('no'), 0, 0),
  'changes times': async (f, at) => {
    await f.utimes(at('file'), new Date(1_234), '5.5');
    await f.lutimes(at('link'), 7, 8.25);
    const [file, link] = [await f.stat(at('file')), await f.lstat(at('link'))];
    return [file.atimeMs, file.mtimeMs, link.atimeMs, link.mtimeMs].join(' ');
  },
  'changes no times of nothing': (f, at) => f.utimes(at('no'), 1, 1),
  links: async (f, at) => {
    await f.link(at('file'), at('hard'));
    await f.symlink('../away', at('soft'));
    return [(await f.stat(at('hard'))).nlink, await f.readlink(at('soft'))].join(' ');
  },
  'links nothing': (f, at) => f.link(at('no'), at('hard')),
  'makes no link twice': (f, at) => f.symlink('x', at('file')),
  'reads no link of a file': (f, at) => f.readlink(at('file')),
  'finds the real path': (f, at) => f.realpath(at('folder/../link')),
  'finds no real path': (f, at) => f.realpath(at('dangling')),
  truncates: async (f, at) => {
    await f.truncate(at('file'), 4);
    await f.truncate(at('folder/one'), 3);
    await f.truncate(at('folder/below/two'));
    return [
      await f.readFile(at('file'), 'utf8'),
      await f.readFile(at('folder/one'), 'hex'),
      await f.readFile(at('folder/below/two'), 'utf8'),
    ];
  },
  'truncates nothing': (f, at) => f.truncate(at('no'), 4),
  may: (f, at) => f.access(at('file'), constants.R_OK | constants.W_OK),
  'may not': (f, at) => f.access(at('no')),
  'makes a folder of its own': (f, at) => f.mkdtemp(at('made-')),
  'makes no folder of its own in none': (f, at) => f.mkdtemp(at('no/made-')),
};
