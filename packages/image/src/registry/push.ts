import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFolder } from '../images/image-folder.js';
import { readStored } from '../images/take-image.js';
import { MANIFEST_TYPE, REF_NAME } from '../sources/media-types.js';
import { LAYOUT_TAG, layoutName, type RegistryCall, skopeoCopy, skopeoName } from './skopeo.js';

export interface PushOptions {
  /** SHA-256 of the image's manifest, in hex. */
  readonly digest: string;
  readonly to: string;
  readonly workDir: string;
  readonly call: RegistryCall;
}

/**
 * Sends an image of the store. Answers the digest of the manifest that is there now: another one when a layer
 * without compression was packed on the way.
 */
export async function pushImage(
  folder: ImageFolder,
  { digest, to, workDir, call }: PushOptions,
): Promise<string> {
  const { manifest } = await readStored(folder, digest);
  const layout = join(workDir, 'layout');
  const digestFile = join(workDir, 'digest');
  const tmpDir = join(workDir, 'tmp');
  await mkdir(tmpDir);
  await mkdir(layout);
  const { size } = await stat(folder.blobs.path(digest));
  const descriptor = {
    mediaType: manifest['mediaType'] ?? MANIFEST_TYPE,
    digest: `sha256:${digest}`,
    size,
    annotations: { [REF_NAME]: LAYOUT_TAG },
  };
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }));
  const total = manifest.layers.length + 2;
  const report = (done: number): void =>
    call.onProgress?.({ step: 'push', done: Math.min(done, total), total, unit: 'files' });
  report(0);
  await skopeoCopy({
    from: layoutName(layout, LAYOUT_TAG),
    to: skopeoName(to),
    registry: 'dest',
    sharedBlobDir: join(folder.root, 'blobs'),
    options: call,
    tmpDir,
    digestFile,
    signal: call.signal,
    onCopied: report,
  });
  report(total);
  return (await readFile(digestFile, 'utf8')).trim();
}
