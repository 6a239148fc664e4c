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
