import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from './fixture.js';
import { flatten } from './layers-fixture.js';
import type { StreamEntry } from './read-stream.js';
import { file, hardLink, padded, symlink, tar, tarEntry, type TarEntry } from './tar-fixture.js';

const octal = (value: number, digits = 11): string => `${value.toString(8).padStart(digits, '0')}\0`;

/** The content of a file in the stream, with its holes. */
function contentOf(entry: StreamEntry | undefined): Buffer {
  if (entry === undefined) throw new Error('there is no such file');
  const size = entry.pax.get('GNU.sparse.realsize');
  if (size === undefined) return entry.data;
  const content = Buffer.alloc(Number(size.toString()));
  const [count, ...numbers] = entry.data.toString('latin1').split('\n').map(Number);
  let at =
    Math.ceil(
      entry.data
        .toString('latin1')
        .split('\n')
        .slice(0, 2 * (count ?? 0) + 1)
        .join('\n').length / 512,
    ) * 512;
  for (let i = 0; i < (count ?? 0); ++i) {
    const [offset, length] = [numbers[2 * i] ?? 0, numbers[2 * i + 1] ?? 0];
    entry.data.copy(content, offset, at, at + length);
    at += length;
  }
  return content;
}

const SPARSE = Buffer.alloc(20_000);
SPARSE.write('begin', 10);
SPARSE.write('end', 19_990);
const DATA = 'beginend';
/** With empty pieces, which mean nothing. */
const MAP = '10,5,19990,0,19990,3,20000,0';

function withPax(pax: readonly (readonly [string, string])[], data: string | Buffer = DATA): TarEntry {
  return { ...file('other-name', data), pax };
}

const oldGnu: TarEntry = {
  ...file('s', DATA, { type: 'S' }),
  change: (block) => {
    block.write('ustar  \0', 257, 'latin1');
    block.write(octal(10) + octal(5), 386, 'latin1');
    block[482] = 1;
    block.write(octal(SPARSE.length), 483, 'latin1');
  },
};
const extension = Buffer.alloc(512);
extension.write(octal(19_990) + octal(3), 0, 'latin1');
const oldEntry = tarEntry(oldGnu);

const SPARSE_FORMS: Readonly<Record<string, Buffer>> = {
  '0.0': tar(
    withPax([
      ['GNU.sparse.size', '20000'],
      ['GNU.sparse.numblocks', '2'],
      ['GNU.sparse.offset', '10'],
      ['GNU.sparse.numbytes', '5'],
      ['GNU.sparse.offset', '19990'],
      ['GNU.sparse.numbytes', '3'],
      ['path', 's'],
    ]),
  ),
  '0.1': tar(
    withPax([
      ['GNU.sparse.size', '20000'],
      ['GNU.sparse.name', 's'],
      ['GNU.sparse.map', MAP],
    ]),
  ),
  '1.0': tar(
    withPax(
      [
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.name', 's'],
        ['GNU.sparse.realsize', '20000'],
      ],
      Buffer.concat([padded(Buffer.from('2\n10\n5\n19990\n3\n')), Buffer.from(DATA)]),
    ),
  ),
  'of old GNU': tar(Buffer.concat([oldEntry.subarray(0, 512), extension, oldEntry.subarray(512)])),
};

test.each(Object.entries(SPARSE_FORMS))('a sparse file of the form %s is whole', async (_, archive) => {
  const { byPath, result } = await flatten([archive]);
  expect([...byPath.keys()]).toEqual(['s']);
  expect(contentOf(byPath.get('s')).equals(SPARSE)).toBe(true);
  expect(result.fileBytes).toBe(20_000);
});

test('names are those of each dialect', async () => {
  const gnu = (block: Buffer): number => block.write('ustar  \0', 257, 'latin1');
  const long = `dir/${'n'.repeat(200)}`;
  const { byPath } = await flatten([
    tar(
      file('posix', '', { change: (block) => block.write('in/prefix', 345) }),
      // What GNU has in the place of a prefix is a time.
      file('gnu', '', { change: (block) => (gnu(block), block.write(octal(12345), 345)) }),
      file('star', '', { change: (block) => (block.write('pre', 345), block.write('tar\0', 508, 'latin1')) }),
      file('v7', '', { change: (block) => block.fill(0, 257) }),
      { name: 'v7-folder/', type: '\0', mode: 0o755, change: (block) => block.fill(0, 257) },
      tarEntry({ name: '././@LongLink', type: 'L', data: `${long}\0` }),
      file('cut', 'long'),
      tarEntry({ name: '././@LongLink', type: 'K', data: long }),
      symlink('symlink', 'cut'),
      tarEntry({ name: '././@LongLink', type: 'K', data: `./${long}\0` }),
      hardLink('zz', 'cut'),
      { name: 'contiguous', type: '7', data: 'x' },
    ),
  ]);
  expect([...byPath.keys()].sort()).toEqual([
    'contiguous',
    'dir',
    long,
    'gnu',
    'in',
    'in/prefix',
    'in/prefix/posix',
    'pre',
    'pre/star',
    'symlink',
    'v7',
    'v7-folder',
    'zz',
  ]);
  expect(byPath.get('v7-folder')?.type).toBe('5');
  expect(byPath.get(long)?.data.toString()).toBe('long');
  expect(byPath.get('symlink')?.link).toBe(long);
  expect(byPath.get('zz')).toMatchObject({ type: '1', link: long });
});

test('numbers are octal, binary, or of PAX', async () => {
  const { byPath, result } = await flatten([
    tar(
      file('blanks', 'x', { change: (block) => block.write('  17 \0  ', 108, 'latin1') }),
      file('binary', 'x', {
        change: (block) =>
          block.fill(0, 108, 116).writeUInt32BE(3_000_000_000, 112) && block.writeUInt8(0x80, 108),
      }),
      file('before-1970', 'x', { change: (block) => block.fill(0xff, 136, 148) }),
      file('pax', 'x', {
        pax: [
          ['uid', '4294967294'],
          ['gid', '2097152'],
          ['mtime', '1700000000.999'],
          ['size', '1'],
        ],
        size: 0,
      }),
      file('late', 'x', { pax: [['mtime', '5000000000']] }),
    ),
  ]);
  expect(byPath.get('blanks')?.uid).toBe(0o17);
  expect(byPath.get('binary')?.uid).toBe(3_000_000_000);
  expect(byPath.get('before-1970')?.mtime).toBe(0);
  expect(byPath.get('pax')).toMatchObject({ uid: 4_294_967_294, gid: 2_097_152, mtime: 1_700_000_000 });
  expect(byPath.get('pax')?.data.toString()).toBe('x');
  expect(byPath.get('late')?.mtime).toBe(0xffffffff);
  expect(result.clampedTimes).toBe(2);
});

test('records of a global header hold until they are taken back', async () => {
  const records = Buffer.from('8 uid=7\n8 gid=8\n');
  const global = tarEntry({ name: 'pax', type: 'g', data: records });
  const { byPath } = await flatten([
    tar(
      global,
      file('a'),
      file('b', '', { uid: 1, pax: [['uid', '9']] }),
      file('c', '', { gid: 3, pax: [['gid', '']] }),
    ),
  ]);
  expect(byPath.get('a')).toMatchObject({ uid: 7, gid: 8 });
  expect(byPath.get('b')).toMatchObject({ uid: 9, gid: 8 });
  expect(byPath.get('c')).toMatchObject({ uid: 7, gid: 3 });
});

test('extended attributes are bytes, in both spellings, and what no squashfs holds is counted', async () => {
  const value = Buffer.from([0x80, 0xff, 0, 0x3d, 0x0a, 0x20]);
  const { byPath, result } = await flatten([
    tar(
      file('f', '', {
        pax: [
          ['SCHILY.xattr.user.schily', value],
          ['LIBARCHIVE.xattr.user.lib%61rchive', value.toString('base64')],
          ['LIBARCHIVE.xattr.user.short', Buffer.from([0x80]).toString('base64').replace(/=/g, '')],
          ['SCHILY.xattr.system.posix_acl_access', 'x'],
          ['SCHILY.xattr.user.empty', ''],
          ['LIBARCHIVE.xattr.user.a%3Db', 'AAAA'],
        ],
      }),
    ),
  ]);
  const xattrs = [...(byPath.get('f')?.pax ?? [])].map(([name, bytes]) => [name, bytes.toString('hex')]);
  expect(Object.fromEntries(xattrs)).toEqual({
    'SCHILY.xattr.user.schily': value.toString('hex'),
    'SCHILY.xattr.user.libarchive': value.toString('hex'),
    'SCHILY.xattr.user.short': '80',
    'SCHILY.xattr.user.empty': '',
  });
  expect(result.droppedXattrs).toBe(2);
});

test.each(['gzip', 'zstd', 'xz'] as const)('%s is unpacked, also in several parts', async (compression) => {
  const archive = tar(file('f', Buffer.alloc(300_000, 'some data ')));
  const pack = (bytes: Buffer): Buffer =>
    execFileSync(compression, ['-c'], { input: bytes, maxBuffer: 1 << 24 });
  const bytes = Buffer.concat([pack(archive.subarray(0, 1000)), pack(archive.subarray(1000))]);
  const { byPath } = await flatten([{ bytes, compression }]);
  expect(byPath.get('f')?.data.equals(Buffer.alloc(300_000, 'some data '))).toBe(true);
});

test.each(['v7', 'oldgnu', 'gnu', 'ustar', 'posix'])('what GNU tar writes as %s is read', async (format) => {
  const source = temporaryFolder();
  mkdirSync(join(source, 'dir'));
  writeFileSync(join(source, 'dir/file'), 'content', { mode: 0o640 });
  const args = [`--format=${format}`, '--numeric-owner', '-cf', '-', '-C', source, '.'];
  const { byPath } = await flatten([execFileSync('tar', args)]);
  expect([...byPath.keys()]).toEqual(['dir', 'dir/file']);
  expect(byPath.get('dir/file')).toMatchObject({ mode: 0o640, data: Buffer.from('content') });
});
