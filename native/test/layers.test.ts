import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { flatten, layerFiles, refusal } from './layers-fixture.js';
import { file, folder, hardLink, sha256, symlink, tar } from './tar-fixture.js';

test('an upper layer hides, replaces and links what lower layers have', async () => {
  const lower = tar(
    folder('./etc'),
    file('./etc/passwd', 'root', { mode: 0o600, uid: 7, gid: 8, mtime: 1_700_000_000 }),
    file('etc/gone', 'x'),
    folder('opaque'),
    file('opaque/old', 'x'),
    file('a', 'content of a', { mode: 0o4755 }),
    folder('usr'),
    folder('usr/lib'),
    symlink('lib', 'usr/lib'),
    file('kind', 'a file'),
  );
  const upper = tar(
    file('etc/.wh.gone'),
    file('opaque/new', 'y'),
    file('opaque/.wh..wh..opq'),
    hardLink('b', '/a'),
    file('lib/x', 'beneath a link'),
    folder('kind'),
    file('kind/inner', 'z'),
    file('implicit/deep/file', 'w'),
  );
  const top = tar(file('.wh.a'));
  const { byPath, entries, result } = await flatten([lower, upper, top]);
  expect(entries.map((entry) => entry.path)).toEqual([
    'b',
    'etc',
    'etc/passwd',
    'implicit',
    'implicit/deep',
    'implicit/deep/file',
    'kind',
    'kind/inner',
    'lib',
    'opaque',
    'opaque/new',
    'usr',
    'usr/lib',
    'usr/lib/x',
  ]);
  expect(byPath.get('etc/passwd')).toMatchObject({ mode: 0o600, uid: 7, gid: 8, mtime: 1_700_000_000 });
  expect(byPath.get('b')).toMatchObject({ type: '0', mode: 0o4755, data: Buffer.from('content of a') });
  expect(byPath.get('implicit')).toMatchObject({ type: '5', mode: 0o755, uid: 0, gid: 0 });
  expect(byPath.get('lib')).toMatchObject({ type: '2', link: 'usr/lib' });
  expect(result).toMatchObject({ entries: 14, droppedXattrs: 0, clampedTimes: 0 });
});

test('digests and sizes are checked, and told', async () => {
  const archive = tar(file('a', 'b'));
  const packed = gzipSync(archive);
  const [layer] = layerFiles([packed]);
  const input = { path: layer?.path ?? '', compression: 'gzip' } as const;
  const facts = { digest: sha256(packed), sizeBytes: packed.length, diffId: sha256(archive) };
  const { result } = await flatten([{ ...input, ...facts }]);
  expect(result.layers).toEqual([
    { digest: facts.digest, diffId: facts.diffId, packedBytes: packed.length, unpackedBytes: archive.length },
  ]);
  const wrong = sha256(Buffer.from('other'));
  expect(await refusal([{ ...input, digest: wrong }])).toMatchObject({
    layer: 0,
    reason: `its digest is sha256:${facts.digest}, expected sha256:${wrong}`,
  });
  expect((await refusal([{ ...input, diffId: wrong }])).reason).toMatch('its diff_id is');
  expect((await refusal([{ ...input, sizeBytes: 5 }])).reason).toMatch('its size is');
});

test('a file that was damaged is said to be damaged, whatever its bytes look like', async () => {
  const archive = tar(file('a', 'b'));
  const packed = gzipSync(archive);
  const digest = sha256(packed);
  const damaged = Buffer.from(packed);
  damaged[20] = (damaged[20] ?? 0) ^ 0xff;
  const [layer] = layerFiles([damaged]);
  const input = { path: layer?.path ?? '', compression: 'gzip' } as const;
  const reason = `its digest is sha256:${sha256(damaged)}, expected sha256:${digest}`;
  const fault = await refusal([{ ...input, digest, sizeBytes: packed.length }]);
  expect(fault).toMatchObject({ layer: 0, reason });
  expect(fault).not.toHaveProperty('entry');
  // With the digest that it has, it is what it looks like.
  expect((await refusal([{ ...input, digest: sha256(damaged) }])).reason).not.toMatch('digest');
});

test('bytes behind the end of an archive count for both digests', async () => {
  const archive = Buffer.concat([tar(file('a', 'b')), Buffer.alloc(5000, 'garbage')]);
  const packed = Buffer.concat([
    gzipSync(archive.subarray(0, 700)),
    gzipSync(archive.subarray(700)),
    Buffer.alloc(9),
  ]);
  const [layer] = layerFiles([packed]);
  const input = { path: layer?.path ?? '', compression: 'gzip' } as const;
  const { result } = await flatten([{ ...input, digest: sha256(packed), diffId: sha256(archive) }]);
  expect(result.layers[0]).toMatchObject({ packedBytes: packed.length, unpackedBytes: archive.length });
});
