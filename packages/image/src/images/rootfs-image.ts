import { open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { flattenLayers, openBeneath } from '@microvm/native';
import { sha256, sha256OfFile } from '../content/file-digest.js';
import { GuardedWork } from '../host/guarded-work.js';
import { configSchema, type Manifest } from '../sources/documents.js';
import type { FilePart } from '../sources/image-files.js';
import { CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE } from '../sources/media-types.js';
import type { OfferedImage } from '../sources/offered-image.js';
import type { RootfsSource } from '../sources/open-source.js';
import type { TakeCall } from './take-image.js';
import { faultOf } from './template.js';

/** What the commands in an image of files get, by the names that an OCI config has for it. */
export interface BuildConfig {
  readonly Env?: readonly string[] | undefined;
  readonly User?: string | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Entrypoint?: readonly string[] | undefined;
  readonly Cmd?: readonly string[] | undefined;
  readonly StopSignal?: string | undefined;
}

export interface RootfsImageOptions {
  readonly source: string;
  readonly workDir: string;
  readonly config?: BuildConfig | undefined;
  readonly call: TakeCall;
}

/**
 * An image of one layer that has the files of an archive or of a folder. The layer is written anew, in one
 * order and without what no two archives agree on, so that the same files give the same digest however they
 * were packed.
 */
export async function imageOfRootfs(
  rootfs: RootfsSource,
  { source, workDir, config: commands = {}, call }: RootfsImageOptions,
): Promise<OfferedImage> {
  const path = join(workDir, 'layer.tar');
  await writeLayer(rootfs, { path, source, workDir, call });
  const digest = await sha256OfFile(path, call.signal);
  const sizeBytes = (await stat(path)).size;
  const configData = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: commands,
      rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
    }),
  );
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: `sha256:${sha256(configData)}`, size: configData.length },
    layers: [{ mediaType: LAYER_TYPE, digest: `sha256:${digest}`, size: sizeBytes }],
  };
  const manifestData = Buffer.from(JSON.stringify(manifest));
  return {
    source,
    digest: sha256(manifestData),
    manifest,
    manifestData,
    config: configSchema.parse(JSON.parse(configData.toString())),
    configData,
    layers: [{ digest, sizeBytes, name: source, ownPath: path, open: () => openWhole(path, sizeBytes) }],
  };
}

async function writeLayer(
  rootfs: RootfsSource,
  { path, source, workDir, call }: { path: string; source: string; workDir: string; call: TakeCall },
): Promise<void> {
  const partial = 'layer.tar.partial';
  const work = new GuardedWork(call.signal);
  // The call closes the descriptor that it is given.
  const output = await openBeneath(workDir, partial, { flags: 'wx', mode: 0o600 });
  try {
    await flattenLayers({
      layers: [rootfs],
      workDir,
      output,
      limits: call.limits ?? {},
      signal: work.signal,
      onProgress: work.guard(({ packedBytes, totalPackedBytes }) =>
        call.onProgress?.({ step: 'layers', done: packedBytes, total: totalPackedBytes, unit: 'bytes' }),
      ),
    });
  } catch (error) {
    throw faultOf(error, { source, layerNames: [source] });
  }
  await rename(join(workDir, partial), path);
}

async function openWhole(path: string, sizeBytes: number): Promise<FilePart> {
  const handle = await open(path, 'r');
  return { handle, offset: 0, sizeBytes, close: () => handle.close() };
}
