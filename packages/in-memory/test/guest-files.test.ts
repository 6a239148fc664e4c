import { mkdtempSync, rmSync } from 'node:fs';
import * as node from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileWatcher } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { CALLS, outcome, populate, type Files } from '../../guest/test/file-calls.js';
import { createVirtualClock } from '../src/index.js';
import { makeRun, makeVm, openDriver, runningVm, snapshotOf } from './driver-harness.js';
import { lines, shellGuest } from './shell/shell-guest.js';

/** A guest in memory has no devices. */
const HERE = Object.keys(CALLS).filter((name) => name !== 'tells of a device');

describe('files of a guest in memory', () => {
  test.each(HERE)('are as those of Node: %s', async (name) => {
    const root = mkdtempSync(join(tmpdir(), 'microvm-files-'));
    try {
      const { files } = await shellGuest();
      const host = node as unknown as Files;
      await populate(host, root);
      await files.mkdir(root, { recursive: true });
      await populate(files, root);
      const call = CALLS[name]!;
      const expected = await outcome(
        root,
        call(host, (path) => join(root, path)),
      );
      expect(
        await outcome(
          root,
          call(files, (path) => join(root, path)),
        ),
      ).toEqual(expected);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  test('are those of its commands', async () => {
    const guest = await shellGuest();
    await guest.files.writeFile('/script', '#!/bin/sh\necho "from a file: $1"\n', { mode: 0o755 });
    expect(await lines(guest, '/script x; echo written > /out')).toBe('from a file: x\n');
    expect(await guest.files.readFile('/out', 'utf8')).toBe('written\n');
    expect(await guest.files.readdir('/etc')).toContain('passwd');
  });

  test('are read and written by streams and handles, also beyond a message', async () => {
    const { files } = await shellGuest();
    const bytes = Buffer.alloc(1_000_001, 'never the same 123456789 ');
    await files.writeFile('/big', bytes);
    expect((await files.readFile('/big')).equals(bytes)).toBe(true);
    const pieces: Buffer[] = [];
    for await (const piece of files.createReadStream('/big', { start: 5, end: 200_004 }))
      pieces.push(piece as Buffer);
    expect(Buffer.concat(pieces).equals(bytes.subarray(5, 200_005))).toBe(true);
    await using handle = await files.open('/handle', 'w+');
    await handle.write(Buffer.from('hello world'));
    await handle.write(Buffer.from('W'), 0, 1, 6);
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(20), 0, 20, 0);
    expect(buffer.subarray(0, bytesRead).toString()).toBe('hello World');
    await handle.truncate(5);
    expect((await handle.stat()).size).toBe(5);
  });

  test('are replaced at once when that is asked for, and keep their mode', async () => {
    const { files } = await shellGuest();
    await files.writeFile('/config', 'old', { mode: 0o640 });
    await files.symlink('/config', '/link');
    await files.writeFile('/link', 'new', { atomic: true });
    expect(await files.readFile('/config', 'utf8')).toBe('new');
    expect((await files.stat('/config')).mode & 0o777).toBe(0o640);
    expect((await files.lstat('/link')).isSymbolicLink()).toBe(true);
    const stream = files.createWriteStream('/config', { atomic: true });
    await new Promise((resolve) => stream.write('half', resolve));
    stream.destroy();
    await new Promise((resolve) => stream.once('close', resolve));
    expect(await files.readFile('/config', 'utf8')).toBe('new');
    expect((await files.readdir('/')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('are the user’s that was asked for', async () => {
    const { files } = await shellGuest();
    await files.writeFile('/secret', 'x', { mode: 0o600 });
    const denied = files.readFile('/secret', { user: 'nobody' });
    await expect(denied).rejects.toMatchObject({ code: 'EACCES', syscall: 'open', path: '/secret' });
    await files.writeFile('/tmp/own', 'y', { user: 'nobody' });
    expect((await files.stat('/tmp/own')).uid).toBe(65_534);
    await expect(files.stat('/', { user: 'no-such-user' })).rejects.toMatchObject({
      details: { step: 'user' },
    });
  });

  test('end where the disk does', async () => {
    const { files } = await shellGuest({}, { diskLimitBytes: 300_000 });
    const written = files.writeFile('/big', Buffer.alloc(1_000_000));
    await expect(written).rejects.toMatchObject({ code: 'ENOSPC', syscall: 'write' });
  });

  test('are reached by names that are not UTF-8', async () => {
    const { files } = await shellGuest();
    const name = Buffer.from([0x2f, 0x74, 0x6d, 0x70, 0x2f, 0xff, 0xfe, 0x41]);
    await files.writeFile(name, 'odd');
    expect(await files.readFile(name, 'utf8')).toBe('odd');
    expect(await files.readdir('/tmp', { encoding: 'buffer' })).toEqual([name.subarray(5)]);
  });

  test('are in a snapshot, and each clone has its own', async () => {
    const { driver } = await openDriver({ clock: createVirtualClock() });
    const vm = await runningVm(driver);
    const { files } = await driver.guestAgent!.guest(vm);
    await files.writeFile('/note', 'kept');
    const clone = makeVm(driver);
    await driver.snapshots!.restore(clone, await snapshotOf(driver, vm), makeRun());
    await driver.pausing!.resume(clone, 'restore', makeRun());
    const { files: cloned } = await driver.guestAgent!.guest(clone);
    await cloned.appendFile('/note', ' and changed');
    expect([await cloned.readFile('/note', 'utf8'), await files.readFile('/note', 'utf8')]).toEqual([
      'kept and changed',
      'kept',
    ]);
  });
});

describe('watches', () => {
  test('tell of names and contents, whoever changes them', async () => {
    const guest = await shellGuest();
    await using watcher = guest.files.watch('/tmp');
    await watcher.ready;
    await lines(
      guest,
      'echo x > /tmp/a; chmod 600 /tmp/a; mv /tmp/a /tmp/b; mkdir /tmp/f; echo y > /tmp/f/in; rm /tmp/b',
    );
    expect(await nextOf(watcher, 6)).toEqual([
      'rename a',
      'change a',
      'change a',
      'rename a',
      'rename b',
      'rename f',
    ]);
    await guest.files.writeFile('/tmp/end', '');
    expect((await nextOf(watcher, 2)).at(-1)).toBe('rename end');
  });

  test('tell of folders below, and reject where nothing is', async () => {
    const guest = await shellGuest();
    await guest.files.mkdir('/w/deep', { recursive: true });
    await using watcher = guest.files.watch('/w', { recursive: true });
    await watcher.ready;
    await guest.files.writeFile('/w/deep/file', 'x');
    expect(await nextOf(watcher, 2)).toEqual(['rename deep/file', 'change deep/file']);
    await using none = guest.files.watch('/none');
    await expect(none.ready).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

async function nextOf(watcher: FileWatcher, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) {
    const { value } = await watcher.next();
    if (value === undefined) throw new Error(`the watch ended after ${seen.join(', ')}`);
    seen.push(`${value.eventType} ${value.filename}`);
  }
  return seen;
}

describe('trees', () => {
  test('go in and come out again, with links, modes and times', async () => {
    const root = mkdtempSync(join(tmpdir(), 'microvm-trees-'));
    try {
      const from = join(root, 'from');
      await node.mkdir(join(from, 'below/deep'), { recursive: true });
      await node.writeFile(join(from, 'one'), 'x'.repeat(200_000));
      await node.link(join(from, 'one'), join(from, 'below/twin'));
      await node.symlink('../one', join(from, 'below/link'));
      await node.chmod(join(from, 'below'), 0o750);
      await node.utimes(join(from, 'one'), 1, 2);
      const guest = await shellGuest();
      await guest.files.writeFile('/tree', 'in the way');
      await guest.files.unlink('/tree');
      expect(await guest.files.copyIn(from, '/tree')).toMatchObject({
        entries: 6,
        bytes: 200_000,
        skipped: 0,
      });
      const line =
        'cd /tree; find . | sort; readlink below/link; stat -c "%a %Y %h" below one; wc -c < below/twin';
      expect(await lines(guest, line)).toBe(
        '.\n./below\n./below/deep\n./below/link\n./below/twin\n./one\n../one\n750 ' +
          `${Math.floor((await node.stat(join(from, 'below'))).mtimeMs / 1000)} 1\n644 2 2\n200000\n`,
      );
      const to = join(root, 'to');
      expect(await guest.files.copyOut('/tree', to)).toMatchObject({ entries: 6, bytes: 200_000 });
      expect((await node.readdir(to, { recursive: true })).sort()).toEqual(
        ['below', 'below/deep', 'below/link', 'below/twin', 'one'].sort(),
      );
      expect((await node.stat(join(to, 'one'))).ino).toBe((await node.stat(join(to, 'below/twin'))).ino);
      expect((await node.stat(join(to, 'one'))).mtimeMs).toBe(2_000);
      expect(await node.readlink(join(to, 'below/link'))).toBe('../one');
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  test('that do not fit are told, and what is there is no folder of theirs', async () => {
    const root = mkdtempSync(join(tmpdir(), 'microvm-trees-'));
    try {
      await node.writeFile(join(root, 'big'), Buffer.alloc(1_000_000, 1));
      const { files } = await shellGuest({}, { diskLimitBytes: 300_000 });
      await expect(files.copyIn(root, '/in')).rejects.toMatchObject({ code: 'ENOSPC' });
      await expect(files.copyOut('/none', join(root, 'out'))).rejects.toMatchObject({ code: 'ENOENT' });
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
