import { mkdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CpioEntry, writeCpio } from '../../src/default/cpio.js';
import { runProgram } from '../../src/host/program.js';
import { makeTempDir } from '../temp-dir.js';

const ENTRIES: readonly CpioEntry[] = [
  { kind: 'directory', path: 'etc', mode: 0o755 },
  { kind: 'directory', path: 'tmp', mode: 0o1777 },
  { kind: 'file', path: 'etc/a', mode: 0o644, data: Buffer.from('x') },
  { kind: 'file', path: 'etc/ab', mode: 0o755, data: Buffer.from('seven b') },
  { kind: 'file', path: 'etc/abc', mode: 0o600, data: Buffer.alloc(0) },
  { kind: 'file', path: 'etc/abcd', mode: 0o644, data: Buffer.alloc(70_000, 7) },
  { kind: 'symlink', path: 'etc/link', target: '/etc/a' },
];

test('the cpio program lists what was written, device nodes included', async () => {
  const archive = writeCpio([
    ...ENTRIES,
    { kind: 'directory', path: 'dev', mode: 0o755 },
    { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
  ]);
  const listing = (await runProgram('cpio', ['-tv', '--quiet'], { input: archive })).toString().trim();
  const columns = listing.split('\n').map((line) => line.split(/\s+/));
  expect(columns.map(([mode, links, user, group]) => [mode, links, user, group].join(' '))).toEqual([
    'drwxr-xr-x 2 root root',
    'drwxrwxrwt 2 root root',
    '-rw-r--r-- 1 root root',
    '-rwxr-xr-x 1 root root',
    '-rw------- 1 root root',
    '-rw-r--r-- 1 root root',
    'lrwxrwxrwx 1 root root',
    'drwxr-xr-x 2 root root',
    'crw------- 1 root root',
  ]);
  expect(listing).toContain('etc/link -> /etc/a');
  expect(columns.at(-1)?.slice(4)).toEqual(['5,', '1', 'Jan', '1', '1970', 'dev/console']);
});

test('the cpio program unpacks files, links and modes as they were given', async () => {
  const folder = join(await makeTempDir(), 'out');
  await mkdir(folder);
  await runProgram('cpio', ['-i', '--quiet', '--no-preserve-owner'], {
    input: writeCpio(ENTRIES),
    cwd: folder,
  });
  for (const entry of ENTRIES) {
    const path = join(folder, entry.path);
    if (entry.kind === 'symlink') expect(await readlink(path)).toBe(entry.target);
    else if (entry.kind !== 'character-device') expect((await stat(path)).mode & 0o7777).toBe(entry.mode);
    if (entry.kind === 'file') expect((await readFile(path)).equals(entry.data)).toBe(true);
  }
});

test('the same entries give the same bytes', () => {
  expect(writeCpio(ENTRIES).equals(writeCpio(ENTRIES))).toBe(true);
});

test.each(['/etc/passwd', 'a\0b'])('a path that the kernel would take otherwise is refused: %j', (path) => {
  expect(() => writeCpio([{ kind: 'directory', path, mode: 0o755 }])).toThrow('not a relative path');
});
