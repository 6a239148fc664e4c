import { describe, expect, test } from 'vitest';
import { FileSystem } from '../../src/fs/file-system.js';
import { FileTree } from '../../src/fs/file-tree.js';

function filesOf(limitBytes = 1 << 20, isReadOnly = false): FileSystem {
  const tree = new FileTree(() => 7);
  tree.seal({ limitBytes, isReadOnly });
  return new FileSystem(tree);
}

const errno = (act: () => unknown): unknown => {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as { errno?: unknown }).errno;
  }
};

describe('paths', () => {
  test('".." leaves a folder where its link leads, and never the root', () => {
    const files = filesOf();
    files.mkdirAll('/a/b');
    files.symlink('/a/b', '/link');
    files.writeFile('/a/file', 'x');
    expect(files.readFile('/link/../file').toString()).toBe('x');
    expect(files.readFile('/../../a/file').toString()).toBe('x');
    expect(files.realpath('/link/../b/.')).toBe('/a/b');
    expect(files.realpath('/../..')).toBe('/');
  });

  test('links in a circle, long names and long paths are refused', () => {
    const files = filesOf();
    files.symlink('/two', '/one');
    files.symlink('/one', '/two');
    expect(errno(() => files.stat('/one'))).toBe('ELOOP');
    expect(errno(() => files.mkdir(`/${'n'.repeat(256)}`))).toBe('ENAMETOOLONG');
    expect(errno(() => files.stat(`/${'p/'.repeat(2048)}`))).toBe('ENAMETOOLONG');
    expect(errno(() => files.stat(''))).toBe('ENOENT');
  });

  test('a path that ends in a slash names a folder', () => {
    const files = filesOf();
    files.writeFile('/file', '');
    expect(errno(() => files.stat('/file/'))).toBe('ENOTDIR');
    expect(errno(() => files.writeFile('/other/', ''))).toBe('EISDIR');
    files.mkdir('/folder/');
    files.symlink('folder', '/link');
    expect(files.lstat('/link/').kind).toBe('directory');
    expect(errno(() => files.rename('/file', '/new/'))).toBe('ENOTDIR');
  });
});

describe('users', () => {
  test('have what mode and owner give them, and root has all', () => {
    const root = filesOf();
    const nobody = root.as({ uid: 65_534, gid: 65_534 });
    root.mkdir('/private', 0o700);
    root.mkdir('/shared');
    root.chmod('/shared', 0o1777);
    root.writeFile('/shared/of-root', 'x', 0o640);
    expect(errno(() => nobody.stat('/private/x'))).toBe('EACCES');
    expect(errno(() => nobody.readFile('/shared/of-root'))).toBe('EACCES');
    expect(errno(() => nobody.unlink('/shared/of-root'))).toBe('EPERM');
    expect(errno(() => nobody.chmod('/shared/of-root', 0o777))).toBe('EPERM');
    expect(errno(() => nobody.chown('/shared/of-root', { uid: 0 }))).toBe('EPERM');
    nobody.writeFile('/shared/own', 'y');
    expect(root.stat('/shared/own')).toMatchObject({ uid: 65_534, gid: 65_534, mode: 0o644 });
    root.chown('/shared/of-root', { gid: 65_534 });
    expect(nobody.readFile('/shared/of-root').toString()).toBe('x');
    nobody.unlink('/shared/own');
  });
});

describe('room', () => {
  test('a disk holds so much and no more; what did not fit changed nothing', () => {
    const files = filesOf(10_000);
    const inode = files.writeFile('/file', Buffer.alloc(5_000, 1));
    expect(errno(() => files.tree.write(inode, 5_000, Buffer.alloc(6_000)))).toBe('ENOSPC');
    expect(errno(() => files.truncate('/file', 1 << 30))).toBe('ENOSPC');
    expect(inode.size).toBe(5_000);
    files.unlink('/file');
    files.writeFile('/file', Buffer.alloc(9_000));
  });

  test('empty files and folders take room too', () => {
    const files = filesOf(10_000);
    let made = 0;
    expect(
      errno(() => {
        for (; made < 1_000; made += 1) files.mkdir(`/${made}`);
      }),
    ).toBe('ENOSPC');
    expect(made).toBeGreaterThan(10);
    expect(made).toBeLessThan(100);
  });

  test('a removed file keeps its room until it is closed', () => {
    const files = filesOf(10_000);
    const inode = files.writeFile('/file', Buffer.alloc(9_000));
    files.tree.hold(inode);
    files.unlink('/file');
    expect(errno(() => files.writeFile('/other', Buffer.alloc(5_000)))).toBe('ENOSPC');
    files.tree.letGo(inode);
    files.writeFile('/other', Buffer.alloc(5_000));
  });

  test('nothing of a read-only disk changes', () => {
    const files = filesOf(10_000, true);
    expect(errno(() => files.mkdir('/a'))).toBe('EROFS');
    expect(errno(() => files.writeFile('/a', ''))).toBe('EROFS');
    expect(files.tree.version).toBe(0);
  });
});
