import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageLayer } from '@microvm/native';
import { expect, test } from 'vitest';
import { makeTempDir } from '../temp-dir.js';
import { differences, listTree, type ListedTree } from './list-tree.mjs';
import { listSquashfs, squash } from './squash.js';

/** Umoci unpacks owners, devices and capabilities only as root. */
const REASON_FOR_SKIP =
  process.getuid?.() !== 0
    ? 'umoci needs root to unpack owners and devices'
    : ['umoci', 'getfattr', 'sqfstar', 'tar'].find(
        (program) => spawnSync(program, ['--version']).error !== undefined,
      );

/** What the two layers are made of. GNU tar makes the archives, so that no code of ours is on both sides. */
const LAYERS = `
set -eu
umask 022
mkdir lower upper under
cd lower
mkdir -p etc opaque/inner usr/lib dev "$(printf 'n%.0s' $(seq 200))" gone sticky
ln -s usr/lib lib
ln -s /usr absolute
ln -s ../../../../usr/lib outside
echo root > etc/passwd; chown 12:3456789 etc/passwd; chmod 640 etc/passwd
echo old > opaque/old; echo old > opaque/inner/old
echo a > gone/a; echo target > target; chmod 4711 target
ln target target-2
mknod dev/null c 1 3; chmod 666 dev/null; mknod dev/loop b 7 300; mkfifo dev/fifo; chmod 600 dev/fifo
chmod 1777 sticky; chmod 2775 usr/lib; chown 0:50 usr/lib
echo l > "$(printf 'n%.0s' $(seq 200))/$(printf 'm%.0s' $(seq 250))"
echo b > "$(printf 'bytes-\\377\\376\\200')"; echo n > "$(printf 'new\\nline')"
echo ping > ping; setfattr -n security.capability -v 0x0100000200800000000000000000000000000000 ping
setfattr -n user.bytes -v 0xff00800a3d20 ping; setfattr -n trusted.other -v 0x01 usr/lib
truncate -s 3000001 sparse; printf data | dd of=sparse bs=1 seek=1048580 conv=notrunc status=none
echo file > kind; mkdir kind-2; echo x > kind-2/x; ln -s nowhere kind-3
: > empty
touch -h -d @1234567890 kind-3; touch -d @1000000000 etc/passwd usr/lib sticky target
chmod 755 .; cd ..
tar --format=posix --xattrs --xattrs-include='*' --sparse --numeric-owner -cf lower.tar -C lower .
cd upper
mkdir -p etc opaque dev kind kind-3
: > etc/.wh.nothing; : > .wh.gone; : > opaque/.wh..wh..opq; echo new > opaque/new
: > .wh.target-2; : > dev/.wh.null; echo k > kind/inner; echo k2 > kind-2; echo k3 > kind-3/inner
cd ..
tar --format=gnu --numeric-owner -cf upper.tar -C upper etc .wh.gone opaque .wh.target-2 dev kind kind-2 kind-3
mkdir -p both/lib both/absolute/share both/outside
echo t > both/target; ln both/target both/linked
echo below > both/lib/below; echo share > both/absolute/share/file; echo out > both/outside/out
tar --format=posix -rf upper.tar -C both target linked lib/below absolute/share/file outside/out
tar --delete -f upper.tar target
mkdir top; : > top/.wh.target
tar -cf top.tar -C top .wh.target
umoci init --layout oci; umoci new --image oci:test
for layer in lower upper top; do umoci raw add-layer --image oci:test $layer.tar; done
umoci unpack --image oci:test bundle >&2
`;

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** The layers of an OCI layout with one image. */
function layersOf(layout: string): ImageLayer[] {
  const blob = ({ digest }: Descriptor): string => join(layout, 'blobs', ...digest.split(':'));
  const index = readJson(join(layout, 'index.json')) as { manifests: [Descriptor] };
  const manifest = readJson(blob(index.manifests[0])) as { config: Descriptor; layers: Descriptor[] };
  const config = readJson(blob(manifest.config)) as { rootfs: { diff_ids: string[] } };
  return manifest.layers.map((layer, i) => ({
    path: blob(layer),
    compression: 'gzip',
    digest: layer.digest.slice('sha256:'.length),
    sizeBytes: layer.size,
    diffId: config.rootfs.diff_ids[i]?.slice('sha256:'.length) ?? '',
  }));
}

/**
 * The times of what no layer names, and of what umoci makes it in, are those at which umoci did so. The time
 * of the root is that of sqfstar.
 */
const MADE_BY_UMOCI = ['', 'usr', 'usr/share'];

function withoutTimes(tree: ListedTree): ListedTree {
  const timeless = Object.entries(tree).map(([name, entry]) =>
    MADE_BY_UMOCI.includes(name) ? [name, { ...entry, mtime: 0 }] : [name, entry],
  );
  return Object.fromEntries(timeless) as ListedTree;
}

test.skipIf(REASON_FOR_SKIP !== undefined)(
  `a tricky image is in the squashfs as umoci unpacks it${REASON_FOR_SKIP === undefined ? '' : `: skipped, ${REASON_FOR_SKIP}`}`,
  async () => {
    const folder = await makeTempDir();
    execFileSync('bash', ['-c', LAYERS], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    const image = join(folder, 'image.squashfs');
    const workDir = join(folder, 'work');
    mkdirSync(workDir);
    await squash(layersOf(join(folder, 'oci')), workDir, image);
    const actual = withoutTimes(listSquashfs(image, folder));
    const expected = withoutTimes(listTree(join(folder, 'bundle/rootfs')));
    expect(Object.keys(actual).length).toBeGreaterThan(25);
    expect(actual['linked']?.sha256).toBe(createHash('sha256').update('target\n').digest('hex'));
    expect(actual['usr/lib/below']).toMatchObject({ type: 'file' });
    expect(differences(actual, expected)).toEqual([]);
    // Read as a folder, what umoci unpacked is the same image once more.
    const again = join(folder, 'again.squashfs');
    await squash([{ path: join(folder, 'bundle/rootfs'), compression: 'folder' }], workDir, again);
    const listed = listSquashfs(again, await makeTempDir());
    expect(differences(listed, listTree(join(folder, 'bundle/rootfs')), { leaveOut: [''] })).toEqual([]);
  },
);
