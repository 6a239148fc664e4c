import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export const TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
};

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { os: string; architecture: string };
  annotations?: Record<string, string>;
}

export interface ImageOptions {
  readonly layers?: readonly Buffer[];
  readonly layerType?: string;
  readonly os?: string;
  readonly architecture?: string;
  readonly config?: object;
  /** Added to the config document. */
  readonly extra?: object;
  readonly diffIds?: readonly string[];
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Writes OCI layouts, right and wrong ones. */
export class LayoutBuilder {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async blob(data: string | Buffer, mediaType: string): Promise<Descriptor> {
    const digest = sha256(data);
    await mkdir(join(this.folder, 'blobs', 'sha256'), { recursive: true });
    await writeFile(this.path(`sha256:${digest}`), data);
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(data) };
  }

  path(digest: string): string {
    return join(this.folder, 'blobs', 'sha256', digest.replace('sha256:', ''));
  }

  /** The descriptor of a manifest. */
  async image(options: ImageOptions = {}): Promise<Descriptor> {
    const { layers = [Buffer.from('layer')], layerType = TYPES.layer } = options;
    const { os = 'linux', architecture = 'amd64', config = {}, extra = {} } = options;
    const diffIds = options.diffIds ?? layers.map((layer) => `sha256:${sha256(layer)}`);
    const document = { os, architecture, config, rootfs: { type: 'layers', diff_ids: diffIds }, ...extra };
    const manifest = {
      schemaVersion: 2,
      config: await this.blob(JSON.stringify(document), TYPES.config),
      layers: await Promise.all(layers.map((layer) => this.blob(layer, layerType))),
    };
    return this.blob(JSON.stringify(manifest), TYPES.manifest);
  }

  index(manifests: readonly Descriptor[]): Promise<Descriptor> {
    return this.blob(JSON.stringify({ schemaVersion: 2, manifests }), TYPES.index);
  }

  async write(manifests: readonly Descriptor[]): Promise<void> {
    await writeFile(join(this.folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(this.folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  }
}

export function tagged(descriptor: Descriptor, tag: string): Descriptor {
  return { ...descriptor, annotations: { 'org.opencontainers.image.ref.name': tag } };
}
