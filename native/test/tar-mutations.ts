import { gzipSync } from 'node:zlib';
import { file, folder, hardLink, seal, symlink, tar, tarEntry } from './tar-fixture.js';

const BLOCK = 512;

export interface Mutation {
  readonly seed: number;
  readonly archive: Buffer;
  readonly compression: 'none' | 'gzip';
}

/** Numbers that look random and are the same in each run (mulberry32). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** One archive with everything in it that the reader knows. */
function original(): Buffer {
  return tar(
    folder('./'),
    folder('dir'),
    file('dir/file', 'some data', { pax: [['SCHILY.xattr.user.a', Buffer.from([0x80, 0, 0x3d])]] }),
    hardLink('dir/link', 'dir/file'),
    symlink('symlink', 'dir'),
    file('symlink/beneath', 'x'),
    { name: 'null', type: '3', major: 1, minor: 3 },
    { name: 'fifo', type: '6' },
    file('sparse', 'data', {
      pax: [
        ['GNU.sparse.size', '9000'],
        ['GNU.sparse.map', '0,1,8000,3'],
      ],
    }),
    tarEntry({ name: 'L', type: 'L', data: `dir/${'n'.repeat(150)}\0` }),
    file('short', 'y'),
    file('.wh.nothing'),
    file('dir/.wh..wh..opq'),
    file('last', 'z'.repeat(1500), {
      pax: [
        ['path', 'dir/last'],
        ['mtime', '5.5'],
        ['uid', '3000000'],
      ],
    }),
  );
}

type Random = (below: number) => number;

const CHANGES: readonly ((archive: Buffer, random: Random) => Buffer)[] = [
  // A byte, a bit, or a few of them.
  (archive, random) => {
    for (let i = random(4); i >= 0; --i) archive[random(archive.length)] = random(256);
    return archive;
  },
  (archive, random) => {
    const at = random(archive.length);
    archive[at] = (archive[at] ?? 0) ^ (1 << random(8));
    return archive;
  },
  // A field of a header.
  (archive, random) => {
    const fields = [0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 337, 345, 386, 482, 483];
    const at = random(archive.length / BLOCK) * BLOCK + (fields[random(fields.length)] ?? 0);
    archive.write(
      ['\xff', '../x', '-1', '9', '\x80', '77777777777', 'LKxgS15'[random(7)] ?? ''][random(7)] ?? '',
      at,
      'latin1',
    );
    return archive;
  },
  // The end is missing, or comes in the middle of a block.
  (archive, random) => archive.subarray(0, random(archive.length)),
  // Blocks change places, come twice or are left out.
  (archive, random) => {
    const blocks = Array.from({ length: archive.length / BLOCK }, (_, i) =>
      archive.subarray(i * BLOCK, (i + 1) * BLOCK),
    );
    const [from, to] = [random(blocks.length), random(blocks.length)];
    const [taken] = blocks.splice(from, 1);
    if (random(3) > 0 && taken !== undefined) blocks.splice(to, 0, taken, ...(random(2) > 0 ? [taken] : []));
    return Buffer.concat(blocks);
  },
  // Digits become others.
  (archive, random) => {
    for (let i = 0; i < 64; ++i) {
      const at = random(archive.length);
      if ((archive[at] ?? 0) >= 0x30 && (archive[at] ?? 0) <= 0x39) archive[at] = 0x30 + random(10);
    }
    return archive;
  },
];

/** Headers get their right checksums, or everything would end at the first check. */
function sealAll(archive: Buffer): Buffer {
  for (let at = 0; at + BLOCK <= archive.length; at += BLOCK) {
    const block = archive.subarray(at, at + BLOCK);
    if (block.toString('latin1', 257, 262) === 'ustar') seal(block);
  }
  return archive;
}

/** Archives with one to three changes each; the seed of each makes it again. */
export function* mutations(count: number): Generator<Mutation> {
  for (let seed = 1; seed <= count; ++seed) {
    const random = randomNumbers(seed);
    let archive = original();
    for (let i = random(3); i >= 0; --i)
      archive = CHANGES[random(CHANGES.length)]?.(Buffer.from(archive), random) ?? archive;
    if (random(8) > 0) archive = sealAll(Buffer.from(archive));
    if (random(6) > 0) {
      yield { seed, archive, compression: 'none' };
      continue;
    }
    const packed = gzipSync(archive);
    packed[random(packed.length)] = random(256);
    yield { seed, archive: packed, compression: 'gzip' };
  }
}
