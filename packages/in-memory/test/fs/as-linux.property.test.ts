import * as host from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { contentOf, fillTree } from '../../src/fs/disk-content.js';
import { FileSystem } from '../../src/fs/file-system.js';
import { FileTree } from '../../src/fs/file-tree.js';

/** One operation on paths below a root, on either kind of files. */
type Operation =
  | readonly ['writeFile', string, string]
  | readonly ['open', string, 'create' | 'exclusive' | 'append']
  | readonly ['mkdir' | 'rmdir' | 'unlink' | 'removeAll' | 'readFile' | 'readdir', string]
  | readonly ['rename' | 'link' | 'symlink', string, string]
  | readonly ['truncate' | 'chmod', string, number];

const NAMES = ['a', 'b'];
const name = fc.constantFrom(...NAMES);
const path = fc.oneof(
  name.map((one) => `/${one}`),
  fc.tuple(name, name).map((names) => `/${names.join('/')}`),
  fc.tuple(name, name, name).map((names) => `/${names.join('/')}`),
  fc.tuple(name, name).map(([one, other]) => `/${one}/./${other}`),
);
// Without `..`: on the host's side nothing may lead out of the test's own folder.
const target = fc.oneof(
  path.map((one) => one.slice(1)),
  fc.constantFrom('.', 'a/b'),
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(fc.constant('writeFile' as const), path, fc.string({ maxLength: 9 })),
  fc.tuple(fc.constant('open' as const), path, fc.constantFrom('create', 'exclusive', 'append')),
  fc.tuple(fc.constantFrom('mkdir', 'mkdir', 'rmdir', 'unlink', 'removeAll', 'readFile', 'readdir'), path),
  fc.tuple(fc.constantFrom('rename', 'link'), path, path),
  fc.tuple(fc.constant('symlink' as const), target, path),
  fc.tuple(fc.constantFrom('truncate', 'chmod'), path, fc.nat({ max: 0o777 })),
);

/** What it came to: a value, or the name of its error. */
function outcome(act: () => unknown): unknown {
  try {
    return act() ?? 'done';
  } catch (error) {
    const { errno, code } = error as { errno?: unknown; code?: string };
    return code ?? errno;
  }
}

function inMemory(files: FileSystem, [verb, first, second]: Operation): unknown {
  switch (verb) {
    case 'writeFile':
      return void files.writeFile(first, second);
    case 'open':
      return void files.open(first, { write: true, create: true, exclusive: second === 'exclusive' });
    case 'readFile':
      return files.readFile(first).toString();
    case 'readdir':
      return files.readdir(first);
    case 'mkdir':
      return void files.mkdir(first);
    case 'rmdir':
    case 'unlink':
    case 'removeAll':
      return files[verb](first);
    case 'rename':
    case 'link':
      return files[verb](first, second);
    case 'symlink':
      return void files.symlink(first, second);
    case 'truncate':
    case 'chmod':
      return files[verb](first, second);
  }
}

const FLAGS = { create: 'r+', exclusive: 'wx', append: 'a' } as const;

function onHost(root: string, [verb, first, second]: Operation): unknown {
  const at = `${root}${first}`;
  switch (verb) {
    case 'writeFile':
      return host.writeFileSync(at, second);
    case 'open': {
      const flags = second === 'create' ? host.constants.O_RDWR | host.constants.O_CREAT : FLAGS[second];
      return host.closeSync(host.openSync(at, flags, 0o644));
    }
    case 'readFile':
      return host.readFileSync(at, 'utf8');
    case 'readdir':
      return host.readdirSync(at).sort();
    case 'mkdir':
      return void host.mkdirSync(at);
    case 'rmdir':
      return host.rmdirSync(at);
    case 'unlink':
      return host.unlinkSync(at);
    case 'removeAll':
      return host.lstatSync(at).isDirectory() ? host.rmSync(at, { recursive: true }) : host.unlinkSync(at);
    case 'rename':
      return host.renameSync(at, `${root}${second}`);
    case 'link':
      return host.linkSync(at, `${root}${second}`);
    case 'symlink':
      return host.symlinkSync(first, `${root}${second}`);
    case 'truncate':
      return host.truncateSync(at, second);
    case 'chmod':
      return host.chmodSync(at, second);
  }
}

/** All that is there: kinds, modes, contents and names that share a file. */
function hostTree(root: string): string[] {
  const numbers = new Map<number, number>();
  const visit = (folder: string): string[] =>
    host.readdirSync(`${root}${folder}`).flatMap((entry) => {
      const at = `${folder}/${entry}`;
      const { mode, ino } = host.lstatSync(`${root}${at}`);
      const kind = mode & host.constants.S_IFMT;
      if (kind === host.constants.S_IFLNK) return [`${at} -> ${host.readlinkSync(`${root}${at}`)}`];
      const own = `${at} ${(mode & 0o7777).toString(8)}`;
      if (kind === host.constants.S_IFDIR) return [own, ...visit(at)];
      if (!numbers.has(ino)) numbers.set(ino, numbers.size);
      return [`${own} ${numbers.get(ino)} ${JSON.stringify(host.readFileSync(`${root}${at}`, 'latin1'))}`];
    });
  return visit('');
}

function memoryTree(files: FileSystem): string[] {
  const numbers = new Map<number, number>();
  const visit = (folder: string): string[] =>
    files.readdir(folder || '/').flatMap((entry) => {
      const at = `${folder}/${entry}`;
      const inode = files.lstat(at);
      if (inode.kind === 'symlink') return [`${at} -> ${inode.target}`];
      const own = `${at} ${inode.mode.toString(8)}`;
      if (inode.kind === 'directory') return [own, ...visit(at)];
      if (!numbers.has(inode.number)) numbers.set(inode.number, numbers.size);
      return [`${own} ${numbers.get(inode.number)} ${JSON.stringify(inode.text)}`];
    });
  return visit('');
}

function newFiles(): FileSystem {
  return new FileSystem(new FileTree(() => 1));
}

test('files in memory do what Linux does, errors included', () => {
  const mask = process.umask(0o022);
  try {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), (operations) => {
        const root = mkdtempSync(join(tmpdir(), 'as-linux-'));
        try {
          const files = newFiles();
          for (const each of operations) {
            expect(
              outcome(() => inMemory(files, each)),
              String(each),
            ).toEqual(outcome(() => onHost(root, each)));
          }
          expect(memoryTree(files)).toEqual(hostTree(root));
        } finally {
          rmSync(root, { recursive: true });
        }
      }),
      { numRuns: 300 },
    );
  } finally {
    process.umask(mask);
  }
});

test('what is written down of a disk gives the same disk again, and bytes are counted to the last', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), (operations) => {
      const files = newFiles();
      for (const each of operations) outcome(() => inMemory(files, each));
      const content = contentOf(files.tree, []);
      const again = newFiles();
      fillTree(again.tree, JSON.parse(JSON.stringify(content)) as typeof content);
      expect(memoryTree(again)).toEqual(memoryTree(files));
      expect(again.tree.quota.usedBytes).toBe(files.tree.quota.usedBytes);
      for (const entry of files.readdir('/')) files.removeAll(`/${entry}`);
      expect(files.tree.quota.usedBytes).toBe(0);
    }),
    { numRuns: 300 },
  );
});
