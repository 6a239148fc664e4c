import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { closeDescriptor, flattenLayers, openPipe, type ImageLayer } from '../dist/index.js';
import { temporaryFolder } from './fixture.js';
import { layerFiles } from './layers-fixture.js';
import { file, folder, hardLink, symlink, tar } from './tar-fixture.js';

/** Makes a squashfs of layers, as an import does. */
async function squash(layers: readonly ImageLayer[]): Promise<string> {
  const target = join(temporaryFolder(), 'image.squashfs');
  const { read, write } = openPipe();
  let ended: Promise<readonly [number | null, string]> | undefined;
  await flattenLayers({
    layers,
    workDir: temporaryFolder(),
    output: write,
    onRoot: ({ mode, uid, gid, mtimeSeconds }) => {
      const root = ['-root-mode', mode.toString(8), '-root-uid', String(uid), '-root-gid', String(gid)];
      const args = [
        '-quiet',
        '-no-progress',
        '-comp',
        'lz4',
        ...root,
        '-root-time',
        String(mtimeSeconds),
        target,
      ];
      const child = spawn('sqfstar', args, { stdio: [read, 'ignore', 'pipe'] });
      closeDescriptor(read);
      ended = Promise.all([
        once(child, 'close').then(([code]) => code as number),
        child.stderr === null ? '' : text(child.stderr),
      ]);
    },
  });
  expect(await ended).toEqual([0, '']);
  return target;
}

test('sqfstar reads all of the stream, without a word', async () => {
  const capability = Buffer.from([1, 0, 0, 2, 0, 0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const target = await squash(
    layerFiles([
      tar(
        folder('./', { mode: 0o751, uid: 3, gid: 4, mtime: 77 }),
        file('ping', 'x', { pax: [['SCHILY.xattr.security.capability', capability]] }),
        file(Buffer.from([0x66, 0xff, 0xfe]), 'y', { uid: 12, mtime: 1_700_000_000 }),
        file('long', 'z', {
          pax: [
            ['path', `${'d'.repeat(200)}/${'e'.repeat(255)}`],
            ['uid', '3000000000'],
          ],
        }),
        { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
        { name: 'fifo', type: '6', mode: 0o620 },
        symlink('link', 'ping'),
        hardLink('pong', 'ping'),
      ),
    ]),
  );
  const listed = spawnSync('unsquashfs', ['-lln', '-UTC', target], { encoding: 'latin1' });
  expect(listed.stdout.replace(/ +/g, ' ')).toContain(
    'crw-rw-rw- 0/0 1, 3 1970-01-01 00:00 squashfs-root/null',
  );
  expect(listed.stdout).toContain('drwxr-x--x 0/0');
  expect(listed.stdout).toContain('\xff\xfe');
  const content = spawnSync('unsquashfs', ['-cat', target, `${'d'.repeat(200)}/${'e'.repeat(255)}`]);
  expect(content.stdout.toString()).toBe('z');
});
