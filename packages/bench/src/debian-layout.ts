import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** An OCI layout of one layer with a Debian, and the layer by itself. */
export interface DebianLayout {
  readonly path: string;
  /** As umoci names it. */
  readonly image: string;
  /** The layer's blob, in gzip. */
  readonly layer: string;
  readonly packedMib: number;
}

/** Debian's packages by mmdebstrap, which needs the sources of this host; Python's make it a real one. */
export async function makeDebianLayout(folder: string, packages: readonly string[]): Promise<DebianLayout> {
  const release = await readFile('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME=(.*)$/m.exec(release)?.[1] ?? 'stable';
  const tar = join(folder, 'layer.tar');
  const include = packages.length === 0 ? [] : [`--include=${packages.join(',')}`];
  await run('mmdebstrap', ['--quiet', '--variant=essential', ...include, suite, tar]);
  const diffId = await sha256(tar);
  await run('gzip', ['-6', tar]);
  const path = join(folder, 'layout');
  await mkdir(join(path, 'blobs', 'sha256'), { recursive: true });
  const blob = async (from: string): Promise<{ digest: string; size: number }> => {
    const hex = await sha256(from);
    const { size } = await stat(from);
    await rename(from, join(path, 'blobs', 'sha256', hex));
    return { digest: `sha256:${hex}`, size };
  };
  const document = async (value: unknown): Promise<{ digest: string; size: number }> => {
    await writeFile(join(folder, 'document'), JSON.stringify(value));
    return blob(join(folder, 'document'));
  };
  const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...(await blob(`${tar}.gz`)) };
  const config = await document({
    ...{ architecture: 'amd64', os: 'linux', config: { Cmd: ['/bin/sh'] } },
    rootfs: { type: 'layers', diff_ids: [`sha256:${diffId}`] },
  });
  const manifest = await document({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [layer],
  });
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        ...manifest,
        annotations: { 'org.opencontainers.image.ref.name': 'debian' },
      },
    ],
  };
  await writeFile(join(path, 'index.json'), JSON.stringify(index));
  await writeFile(join(path, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  const file = join(path, 'blobs', 'sha256', layer.digest.slice('sha256:'.length));
  return { path, image: `${path}:debian`, layer: file, packedMib: layer.size / 2 ** 20 };
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
