import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { FlattenLimits, FlattenProgress } from '../dist/index.js';
import { flatten, refusal, type Source } from './layers-fixture.js';
import { file, folder, hardLink, symlink, tar } from './tar-fixture.js';

const KIB = 1 << 10;
const MIB = 1 << 20;

const names = (count: number): Buffer =>
  tar(...Array.from({ length: count }, (_, index) => file(`f${String(index)}`)));
const xattr = (name: string, bytes: number): readonly [string, Buffer] => [
  `SCHILY.xattr.user.${name}`,
  Buffer.alloc(bytes, 'x'),
];
const withXattrs = (count: number, bytes: number): Buffer => {
  const pax = Array.from({ length: count }, (_, index) => xattr(String(index % 10), bytes));
  return tar(file('f', '', { pax }));
};

interface Bound {
  readonly limits: Partial<FlattenLimits>;
  /** The size of a source at the bound, and one past it. */
  readonly at: Source | readonly Source[];
  readonly past: Source | readonly Source[];
  readonly reason: RegExp;
}

/** A path of that many bytes in components of at most 200. */
function path(bytes: number): string {
  return Array.from({ length: bytes }, (_, at) => (at % 201 === 200 && at < bytes - 1 ? '/' : 'n')).join('');
}

const deep = (depth: number): string => Array.from({ length: depth }, () => 'd').join('/');
const zeros = (bytes: number): Source => ({ bytes: gzipSync(Buffer.alloc(bytes)), compression: 'gzip' });

/** Of gzip's packing of zeros, so that the ratio is the one that a test is about. */
function packedSize(source: Source): number {
  if (!('bytes' in source)) throw new Error('it is not packed');
  return source.bytes.length;
}
const packedZeros = packedSize(zeros(MIB));

const BOUNDS: Readonly<Record<string, Bound>> = {
  layers: {
    limits: { layers: 3 },
    at: [names(1), names(1), names(1)],
    past: [names(1), names(1), names(1), names(1)],
    reason: /more than 3 layers/,
  },
  entries: { limits: { entries: 20 }, at: names(20), past: names(21), reason: /more than 20 entries in all/ },
  'entries of several layers': {
    limits: { entries: 20 },
    at: [names(10), names(10)],
    past: [names(10), names(11)],
    reason: /more than 20 entries in all/,
  },
  'folders that only names tell of': {
    limits: { entries: 4 },
    at: tar(file('a/b/c/f')),
    past: tar(file('a/b/c/d/f')),
    reason: /more than 4 entries in all/,
  },
  pathBytes: {
    limits: {},
    at: tar(file('f', '', { pax: [['path', path(4095)]] })),
    past: tar(file('f', '', { pax: [['path', path(4096)]] })),
    reason: /more than 4095 bytes/,
  },
  'pathBytes of a symbolic link': {
    limits: {},
    at: tar({ ...symlink('l', 'x'), pax: [['linkpath', path(4095)]] }),
    past: tar({ ...symlink('l', 'x'), pax: [['linkpath', path(4096)]] }),
    reason: /more than 4095 bytes/,
  },
  'pathBytes where a link leads': {
    limits: { pathBytes: 40 },
    at: tar(folder('a'.repeat(30)), symlink('l', 'a'.repeat(30)), file('l/123456789')),
    past: tar(folder('a'.repeat(30)), symlink('l', 'a'.repeat(30)), file('l/1234567890')),
    reason: /too deep or its name too long/,
  },
  depth: {
    limits: {},
    at: tar(file('f', '', { pax: [['path', deep(256)]] })),
    past: tar(file('f', '', { pax: [['path', deep(257)]] })),
    reason: /256 folders deep/,
  },
  'depth where a link leads': {
    limits: { depth: 4 },
    at: tar(folder('a/b/c'), symlink('l', 'a/b/c'), file('l/f')),
    past: tar(folder('a/b/c'), symlink('l', 'a/b/c'), file('l/d/f')),
    reason: /too deep or its name too long/,
  },
  totalBytes: {
    limits: { totalBytes: 3000 },
    at: tar(file('a', 'x'.repeat(1000)), file('b', 'x'.repeat(2000))),
    past: tar(file('a', 'x'.repeat(1000)), file('b', 'x'.repeat(2001))),
    reason: /more than 3000 bytes of content in all/,
  },
  'totalBytes with holes': {
    limits: { totalBytes: 3000 },
    at: tar(
      file('a', 'x', {
        pax: [
          ['GNU.sparse.size', '3000'],
          ['GNU.sparse.map', '5,1'],
        ],
      }),
    ),
    past: tar(
      file('a', 'x', {
        pax: [
          ['GNU.sparse.size', '3001'],
          ['GNU.sparse.map', '5,1'],
        ],
      }),
    ),
    reason: /more than 3000 bytes of content in all/,
  },
  fileBytes: {
    limits: { fileBytes: 3000 },
    at: tar(file('a', 'x'.repeat(3000)), file('b', 'x'.repeat(3000))),
    past: tar(file('a', 'x'.repeat(3001))),
    reason: /it has more than 3000 bytes/,
  },
  'fileBytes as they are by default': {
    limits: {},
    at: tar(
      file('a', 'x', {
        pax: [
          ['GNU.sparse.size', String(2 ** 35)],
          ['GNU.sparse.map', '5,1'],
        ],
      }),
      file('a'),
    ),
    past: tar(
      file('a', 'x', {
        pax: [
          ['GNU.sparse.size', String(2 ** 35 + 1)],
          ['GNU.sparse.map', '5,1'],
        ],
      }),
    ),
    reason: /it has more than 34359738368 bytes/,
  },
  xattrBytes: {
    limits: {},
    at: tar(file('f', '', { pax: [xattr('a', 64 * KIB)] })),
    past: tar(file('f', '', { pax: [xattr('a', 64 * KIB + 1)] })),
    reason: /user\.a has more than 65536 bytes/,
  },
  inodeXattrBytes: {
    // A name has six bytes.
    limits: { inodeXattrBytes: 3 * 1006 },
    at: withXattrs(3, 1000),
    past: tar(file('f', '', { pax: [xattr('a', 1000), xattr('b', 1000), xattr('c', 1001)] })),
    reason: /extended attributes have more than 3018 bytes/,
  },
  'an attribute that is said twice': {
    limits: { inodeXattrBytes: 10 * 106 },
    at: withXattrs(30, 100),
    past: tar(
      file('f', '', { pax: Array.from({ length: 11 }, (_, i) => xattr(String.fromCharCode(97 + i), 100)) }),
    ),
    reason: /extended attributes have more than 1060 bytes/,
  },
  paxBytes: {
    limits: { paxBytes: 1000 },
    at: tar(file('f', '', { pax: [['comment', 'x'.repeat(1000 - '1000 comment=\n'.length)]] })),
    past: tar(file('f', '', { pax: [['comment', 'x'.repeat(1001 - '1001 comment=\n'.length)]] })),
    reason: /PAX records have more than 1000 bytes/,
  },
  metadataBytes: {
    limits: { metadataBytes: 30 },
    at: tar(file('0123456789'), hardLink('abcdefghij', '0123456789')),
    past: tar(file('0123456789'), hardLink('abcdefghijk', '0123456789')),
    reason: /more than 30 bytes of names and extended attributes in all/,
  },
  ratioFreeBytes: {
    limits: { ratio: 1, ratioFreeBytes: MIB },
    at: zeros(MIB),
    past: zeros(MIB + 512),
    reason: /it unpacks to more than 1048576 bytes/,
  },
  ratio: {
    limits: { ratio: Math.ceil(MIB / packedZeros), ratioFreeBytes: 1 },
    at: zeros(MIB),
    past: zeros(2 * MIB),
    reason: /it unpacks to more than/,
  },
};

const list = (sources: Source | readonly Source[]): readonly Source[] =>
  (Array.isArray(sources) ? sources : [sources]) as readonly Source[];

test.each(Object.entries(BOUNDS))('%s: what is at the bound is accepted', async (_, { limits, at }) => {
  await flatten(list(at), { limits });
});

test.each(Object.entries(BOUNDS))(
  '%s: one past the bound is refused',
  async (_, { limits, past, reason }) => {
    expect((await refusal(list(past), { limits })).reason).toMatch(reason);
  },
);

test('a bomb ends at its bound, long before its end', async () => {
  const part = gzipSync(Buffer.alloc(64 * MIB));
  const parts = Array.from({ length: 16 }, () => part);
  const begin = gzipSync(tar(file('f', '', { size: 2 ** 30 })).subarray(0, 512));
  const bomb = { bytes: Buffer.concat([begin, ...parts]), compression: 'gzip' } as const;
  let seen = 0;
  const onProgress = ({ packedBytes }: FlattenProgress): void => {
    seen = packedBytes;
  };
  const fault = await refusal([bomb], { limits: { ratio: 1 }, onProgress });
  expect(fault).toMatchObject({ entry: 'f', reason: 'it unpacks to more than 67108864 bytes' });
  // What is read is unpacked at once; a buffer of packed bytes may be ahead.
  expect(seen).toBeLessThan(bomb.bytes.length / 2);
});
