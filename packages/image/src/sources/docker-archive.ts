import { invalidArgument, unsupported } from '@microvm/runtime';
import { z } from 'zod';
import { sha256 } from '../content/file-digest.js';
import { configSchema, type Config, MAX_LAYERS, type Manifest, parseDocument } from './documents.js';
import { type FilePart, type ImageFiles, readSmall } from './image-files.js';
import { imageInvalid } from './invalid.js';
import { CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE } from './media-types.js';
import { hexOf, type OfferedBlob, type OfferedImage } from './offered-image.js';

const MANIFEST = 'manifest.json';

const manifestSchema = z
  .array(
    z.looseObject({
      Config: z.string().min(1),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z.array(z.string().min(1)).max(MAX_LAYERS),
    }),
  )
  .min(1);
type SavedImage = z.infer<typeof manifestSchema>[number];

/**
 * The image in an archive of `docker save` without an OCI layout in it. Such an archive has no manifest of
 * its own that names blobs by digest, so that one is made: the same archive always gives the same digest.
 *
 * @throws MICROVM_IMAGE_INVALID, MICROVM_UNSUPPORTED, MICROVM_INVALID_ARGUMENT
 */
export async function readDockerArchive(files: ImageFiles, tag?: string): Promise<OfferedImage> {
  const { source } = files;
  const data = await readSmall(files, MANIFEST);
  if (data === undefined) throw imageInvalid({ source, entry: MANIFEST, reason: 'there is no such file' });
  const saved = chooseImage(parseDocument(data, manifestSchema, { source, entry: MANIFEST }), source, tag);
  const configData = await readSmall(files, saved.Config);
  if (configData === undefined) {
    throw imageInvalid({ source, entry: saved.Config, reason: 'there is no such file' });
  }
  const config = parseDocument(configData, configSchema, { source, entry: saved.Config });
  if (config.os !== 'linux' || config.architecture !== 'amd64') {
    throw unsupported(`image ${source} on linux/amd64`, `the image for ${config.os}/${config.architecture}`);
  }
  const layers = await describeLayers(files, saved, config);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: `sha256:${sha256(configData)}`, size: configData.length },
    layers: layers.map(({ digest, sizeBytes }) => ({
      mediaType: LAYER_TYPE,
      digest: `sha256:${digest}`,
      size: sizeBytes,
    })),
  };
  const manifestData = Buffer.from(JSON.stringify(manifest));
  return { source, digest: sha256(manifestData), manifest, manifestData, config, configData, layers };
}

function chooseImage(images: readonly SavedImage[], source: string, tag: string | undefined): SavedImage {
  const tags = images.flatMap(({ RepoTags }) => RepoTags ?? []);
  const [only, ...more] =
    tag === undefined
      ? images
      : images.filter(({ RepoTags }) => RepoTags?.some((name) => name === tag || name.endsWith(`:${tag}`)));
  if (only !== undefined && more.length === 0) return only;
  const expected = `one of ${tags.join(', ') || 'no tags'}`;
  throw invalidArgument('tag', expected, `image ${source}: which image of the archive? expected ${expected}`);
}

/** Layers are not compressed in such an archive: the digest of a layer is its diff_id. */
async function describeLayers(files: ImageFiles, saved: SavedImage, config: Config): Promise<OfferedBlob[]> {
  const { source } = files;
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== saved.Layers.length) {
    const reason = `its config knows ${diffIds.length} layers, its manifest ${saved.Layers.length}`;
    throw imageInvalid({ source, entry: saved.Config, reason });
  }
  const layers: OfferedBlob[] = [];
  for (const [index, name] of saved.Layers.entries()) {
    const open = async (): Promise<FilePart> => {
      const part = await files.open(name);
      if (part !== undefined) return part;
      throw imageInvalid({ source, entry: name, reason: 'there is no such file' });
    };
    const part = await open();
    await part.close();
    layers.push({ digest: hexOf(diffIds[index] ?? ''), sizeBytes: part.sizeBytes, name, open });
  }
  return layers;
}
