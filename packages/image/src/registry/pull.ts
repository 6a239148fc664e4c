import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFolder } from '../images/image-folder.js';
import { FolderFiles } from '../sources/image-files.js';
import { readOciLayout } from '../sources/oci-layout.js';
import type { OfferedImage } from '../sources/offered-image.js';
import { LAYOUT_TAG, layoutName, type RegistryCall, skopeoCopy, skopeoName } from './skopeo.js';

export interface PullOptions {
  readonly reference: string;
  readonly workDir: string;
  readonly call: RegistryCall;
}

/**
 * Fetches an image into an OCI layout in the work folder. skopeo finds all layers of the store in the folder
 * that it writes to, so that it fetches only what is new; what it leaves when it is killed goes with the
 * work folder.
 */
export async function pullImage(
  folder: ImageFolder,
  { reference, workDir, call }: PullOptions,
): Promise<OfferedImage> {
  const blobs = join(workDir, 'pulled-blobs');
  const layout = join(workDir, 'layout');
  const tmpDir = join(workDir, 'tmp');
  await mkdir(tmpDir);
  await folder.blobs.linkLayersInto(join(blobs, 'sha256'));
  const report = (done: number, total: number): void =>
    call.onProgress?.({ step: 'pull', done, total, unit: 'files' });
  report(0, 1);
  let copied = 0;
  await skopeoCopy({
    from: skopeoName(reference),
    to: layoutName(layout, LAYOUT_TAG),
    registry: 'src',
    sharedBlobDir: blobs,
    options: call,
    tmpDir,
    signal: call.signal,
    onCopied: (count) => report((copied = count), count + 1),
  });
  report(copied + 1, copied + 1);
  const image = await readOciLayout(new FolderFiles(layout, reference), {
    tag: LAYOUT_TAG,
    blobs: { files: new FolderFiles(blobs, reference), prefix: 'sha256/' },
  });
  // skopeo has checked them as it fetched them.
  const own = image.layers.map((layer) => ({ ...layer, ownPath: join(blobs, 'sha256', layer.digest) }));
  return { ...image, layers: own };
}
