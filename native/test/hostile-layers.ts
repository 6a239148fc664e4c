import { gzipSync } from 'node:zlib';
import type { PackedLayer, Source } from './layers-fixture.js';
import {
  file,
  folder,
  hardLink,
  header,
  padded,
  symlink,
  tar,
  tarEntry,
  type TarEntry,
} from './tar-fixture.js';

type Pax = NonNullable<TarEntry['pax']>;
const withPax = (...pax: Pax): Buffer => tar(file('f', 'data', { pax }));
const changed = (change: (block: Buffer) => void): Buffer => tar(file('f', 'data', { change }));
const paxBytes = (bytes: string): Buffer =>
  tar(
    Buffer.concat([header({ name: 'pax', type: 'x', data: bytes }), padded(Buffer.from(bytes))]),
    file('f'),
  );
const packed = (bytes: Buffer, compression: PackedLayer['compression']): Source => ({ bytes, compression });
const whole = tar(file('f', 'data'));
const sparse = (map: string, data: string, more: Pax = []): Buffer =>
  tar(file('f', data, { pax: [['GNU.sparse.size', '100'], ['GNU.sparse.map', map], ...more] }));

function sparse10(map: string): Buffer {
  const pax: Pax = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.realsize', '100'],
  ];
  return tar(file('f', padded(Buffer.from(map)).toString('latin1'), { pax }));
}

/** Each kind of fault, and what is said of it. */
export const HOSTILE_LAYERS: readonly (readonly [string, Source | readonly Source[], RegExp])[] = [
  ['.. at the beginning', tar(file('../f')), /component \.\./],
  ['.. in the middle', tar(file('a/../../f')), /component \.\./],
  ['.. at the end', tar(folder('a/..')), /component \.\./],
  ['.. in a PAX path', withPax(['path', 'a/../b']), /component \.\./],
  ['.. in the target of a hard link', tar(file('f'), hardLink('g', '../f')), /target of the hard link/],
  ['a whiteout of ..', tar(file('a/.wh...')), /whiteout of no name/],
  ['a whiteout of .', tar(file('a/.wh..'), file('f')), /whiteout of no name/],
  ['a whiteout of nothing', tar(folder('a'), file('a/.wh.')), /whiteout of no name/],
  ['a name below a whiteout', tar(file('.wh.a/b')), /below a whiteout/],
  ['a hard link to nothing', tar(hardLink('a', 'b')), /which is not there/],
  ['a hard link to itself', tar(file('a'), hardLink('a', 'a')), /hard link to itself/],
  ['a hard link to itself by another spelling', tar(file('a'), hardLink('./a', '/a')), /hard link to itself/],
  ['a hard link to what comes later', tar(hardLink('a', 'b'), file('b')), /which is not there/],
  ['a hard link to a folder', tar(folder('a'), hardLink('b', 'a')), /hard link to a folder/],
  ['a hard link to the root', tar(hardLink('b', '/')), /hard link to the root/],
  [
    'a hard link to what was hidden',
    [tar(file('a')), tar(file('.wh.a'), hardLink('b', 'a'))],
    /is not there/,
  ],
  [
    'a hard link through a link that leads nowhere',
    tar(symlink('l', 'x'), hardLink('b', 'l/a')),
    /is not there/,
  ],
  ['a symbolic link to nothing', tar(symlink('a', '')), /symbolic link to nothing/],
  ['links in a circle', tar(symlink('a', 'b'), symlink('b', 'a'), file('a/f')), /too many symbolic links/],
  ['a link to itself', tar(symlink('a', 'a'), file('a/f')), /too many symbolic links/],
  [
    'links that multiply',
    tar(
      ...Array.from({ length: 45 }, (_, i) =>
        symlink(`l${String(i)}`, `l${String(i + 1)}/l${String(i + 1)}`),
      ),
      file('l0/f'),
    ),
    /symbolic links/,
  ],
  ['a name below a file', tar(file('a'), file('a/b')), /which is no folder/],
  ['a name below a device', tar({ name: 'a', type: '3' }, file('a/b')), /which is no folder/],
  ['a root that is a file', tar(file('./', '', { type: '0' })), /the root is no folder/],
  ['a component of 256 bytes', withPax(['path', `a/${'n'.repeat(256)}`]), /more than 255 bytes/],
  ['a null byte in a PAX path', withPax(['path', 'a\0b']), /null byte/],
  ['a null byte in a PAX link', withPax(['linkpath', 'a\0b']), /null byte/],
  ['a null byte in the name of an xattr', withPax(['SCHILY.xattr.user.a\0b', 'c']), /null byte/],
  [
    'a wrong checksum',
    tar(tarEntry(file('f')).map((byte, at) => (at === 0 ? 0x67 : byte)) as Buffer),
    /wrong checksum/,
  ],
  ['an unknown type', tar(file('f', '', { type: 'Z' })), /type 'Z' is unknown/],
  ['a type that is no letter', tar(file('f', '', { type: '\x01' })), /type 1 is unknown/],
  ['a part of another volume', tar(file('f', '', { type: 'M' })), /type 'M' is unknown/],
  ['a size that is no number', changed((block) => block.write('12x', 124)), /no number/],
  ['a size that is negative', changed((block) => block.fill(0xff, 124, 136)), /negative/],
  [
    'a size beyond all bounds',
    changed((block) => block.fill(0x7f, 125, 136).writeUInt8(0x80, 124)),
    /no number/,
  ],
  ['a user that is negative', changed((block) => block.fill(0xff, 108, 116)), /user is out of range/],
  ['a user of 64 bits', withPax(['uid', '4294967296']), /user is out of range/],
  ['the user that means nobody at all', withPax(['uid', '4294967295']), /user is out of range/],
  ['a group of 64 bits', withPax(['gid', '18446744073709551615']), /group is out of range/],
  ['a PAX size that is no number', withPax(['size', '-4']), /size is no number/],
  ['a PAX size beyond 64 bits', withPax(['size', '99999999999999999999']), /size is no number/],
  ['a PAX size beyond what is there', withPax(['size', '100000']), /ends in its middle/],
  ['a PAX time that is no number', withPax(['mtime', '1e5']), /mtime is no number/],
  ['a PAX time beyond 64 bits', withPax(['mtime', '99999999999999999999.5']), /mtime is no number/],
  ['a PAX record without a length', paxBytes('path=f\n'), /begin with its length/],
  ['a PAX record that is too long', paxBytes('99 path=f\n'), /longer or shorter/],
  ['a PAX record that is too short', paxBytes('2 path=f\n'), /longer or shorter|keyword/],
  ['a PAX record of length 0', paxBytes('0 path=f\n'), /longer or shorter/],
  ['a PAX record with a sign', paxBytes('+10 path=f\n'), /begin with its length/],
  ['a PAX record without a value', paxBytes('8 path\n\n'.slice(0, 7)), /longer|keyword/],
  ['a PAX record without a keyword', paxBytes('5 =f\n'), /no keyword/],
  ['a PAX record without an end', paxBytes('9 path=fg'), /no keyword/],
  [
    'a PAX record of a length of 100 digits',
    paxBytes(`${'9'.repeat(100)} path=f\n`),
    /begin with its length/,
  ],
  [
    'two PAX headers in a row',
    tar(
      Buffer.concat([paxBytes('8 gid=7\n').subarray(0, 1024), paxBytes('8 gid=7\n').subarray(0, 1024)]),
      file('f'),
    ),
    /two PAX headers/,
  ],
  ['a PAX header before nothing', tar(paxBytes('8 gid=7\n').subarray(0, 1024)), /ends in its middle/],
  ['a long name before nothing', tar(tarEntry({ name: 'L', type: 'L', data: 'name' })), /ends in its middle/],
  [
    'a long name beyond its bound',
    tar(tarEntry({ name: 'L', type: 'L', data: 'n'.repeat(5000) }), file('f')),
    /more than 4095 bytes/,
  ],
  [
    'a long link beyond its bound',
    tar(tarEntry({ name: 'K', type: 'K', data: 'n'.repeat(5000) }), symlink('f', 'g')),
    /more than 4095 bytes/,
  ],
  ['an xattr without a name', withPax(['SCHILY.xattr.', 'x']), /1 to 255 bytes/],
  ['an xattr of a name of 256 bytes', withPax([`SCHILY.xattr.${'n'.repeat(256)}`, 'x']), /1 to 255 bytes/],
  ['an xattr that is no base64', withPax(['LIBARCHIVE.xattr.user.a', '!!!!']), /no base64/],
  ['an xattr that is cut base64', withPax(['LIBARCHIVE.xattr.user.a', 'AAAAA']), /no base64/],
  [
    'a null byte in the escaped name of an xattr',
    withPax(['LIBARCHIVE.xattr.user.a%00b', 'AAAA']),
    /null byte/,
  ],
  ['a device of a major beyond 12 bits', tar({ name: 'd', type: '3', major: 4096 }), /device number/],
  ['a device of a minor beyond 20 bits', tar({ name: 'd', type: '4', minor: 1 << 20 }), /device number/],
  [
    'a device whose number is no number',
    tar({ name: 'd', type: '3', change: (block) => block.write('x', 329) }),
    /no number/,
  ],
  ['a sparse map that is no number', sparse('0,x', 'data'), /no number/],
  ['a sparse map of one number', sparse('0', 'data'), /cut off/],
  ['a sparse map that overlaps', sparse('0,3,2,1', 'data'), /out of order/],
  ['a sparse map that leads out', sparse('98,4', 'data'), /out of the file/],
  ['a sparse map that wraps around', sparse('18446744073709551615,4', 'data'), /out of the file/],
  ['a sparse map of less than is stored', sparse('0,3', 'data'), /does not fit/],
  ['a sparse map of more than is stored', sparse('0,5', 'data'), /does not fit/],
  [
    'a sparse file without its size',
    tar(file('f', 'data', { pax: [['GNU.sparse.map', '0,4']] })),
    /real size/,
  ],
  [
    'a sparse file of an unknown form',
    withPax(['GNU.sparse.major', '2'], ['GNU.sparse.minor', '0'], ['GNU.sparse.realsize', '9']),
    /unknown form/,
  ],
  [
    'a sparse offset without a length',
    withPax(['GNU.sparse.size', '9'], ['GNU.sparse.offset', '0'], ['GNU.sparse.offset', '1']),
    /in turns/,
  ],
  [
    'a sparse length without an offset',
    withPax(['GNU.sparse.size', '9'], ['GNU.sparse.numbytes', '4']),
    /in turns/,
  ],
  ['a map before the data that is cut off', sparse10('2\n0\n1\n'), /no number|cut off/],
  ['a map before the data without an end', sparse10('9'.repeat(600)), /no number/],
  ['a map before the data of too many pieces', sparse10('99999999\n'), /more than 1000000 pieces/],
  [
    'an old sparse header whose size is no number',
    changed((block) => {
      block.write('S', 156);
      block.write('zz', 483);
    }),
    /no number/,
  ],
  [
    'an old sparse header whose map is no number',
    changed((block) => {
      block.write('S', 156);
      block.write('00000000000\0zz', 386);
    }),
    /no number/,
  ],
  [
    'an old sparse header whose map goes on beyond the end',
    header(
      file('f', '', {
        change: (block) => {
          block.write('S', 156);
          block[482] = 1;
        },
      }),
    ),
    /ends in its middle/,
  ],
  [
    'a block of zeros in the middle',
    Buffer.concat([tarEntry(file('a')), Buffer.alloc(512), tarEntry(file('b'))]),
    /one block of zeros/,
  ],
  ['half a header', whole.subarray(0, 300), /ends in its middle/],
  ['half a file', whole.subarray(0, 514), /ends in its middle/],
  ['padding that is cut off', whole.subarray(0, 600), /ends in its middle/],
  ['anything but an archive', Buffer.alloc(2048, 'no archive'), /wrong checksum/],
  ['a gzip that is cut off', packed(gzipSync(whole).subarray(0, 40), 'gzip'), /ends in its middle/],
  ['a gzip without its checksum', packed(gzipSync(whole).subarray(0, -6), 'gzip'), /ends in its middle/],
  [
    'a gzip with a wrong checksum',
    packed(Buffer.concat([gzipSync(whole).subarray(0, -8), Buffer.alloc(8, 1)]), 'gzip'),
    /broken gzip data/,
  ],
  ['an empty gzip', packed(Buffer.alloc(0), 'gzip'), /ends in its middle/],
  ['a gzip that is none', packed(whole, 'gzip'), /broken gzip data/],
  [
    'bytes behind a gzip',
    packed(Buffer.concat([gzipSync(whole), Buffer.from('more')]), 'gzip'),
    /broken gzip data/,
  ],
  [
    'bytes behind the padding of a gzip',
    packed(Buffer.concat([gzipSync(whole), Buffer.from([0, 0, 1])]), 'gzip'),
    /other bytes after its end/,
  ],
  ['an empty zstd', packed(Buffer.alloc(0), 'zstd'), /ends in its middle/],
  ['a zstd that is none', packed(whole, 'zstd'), /broken zstd data/],
  ['an empty xz', packed(Buffer.alloc(0), 'xz'), /ends in its middle/],
  ['an xz that is none', packed(whole, 'xz'), /does not begin as xz/],
];
