const OCI = 'application/vnd.oci.image';
const DOCKER = 'application/vnd.docker';

export const MANIFEST_TYPE = `${OCI}.manifest.v1+json`;
export const CONFIG_TYPE = `${OCI}.config.v1+json`;
export const LAYER_TYPE = `${OCI}.layer.v1.tar`;
export const REF_NAME = 'org.opencontainers.image.ref.name';

const INDEX_TYPES = [`${OCI}.index.v1+json`, `${DOCKER}.distribution.manifest.list.v2+json`];
const MANIFEST_TYPES = [MANIFEST_TYPE, `${DOCKER}.distribution.manifest.v2+json`];
const LAYER_TYPES = [
  ...['', '+gzip', '+zstd'].map((packing) => `${LAYER_TYPE}${packing}`),
  `${DOCKER}.image.rootfs.diff.tar`,
  `${DOCKER}.image.rootfs.diff.tar.gzip`,
  `${DOCKER}.image.rootfs.diff.tar.zstd`,
];

/** What a descriptor of an index leads to; undefined for what is no image, such as an attestation. */
export function documentKind(mediaType: string): 'index' | 'manifest' | undefined {
  if (INDEX_TYPES.includes(mediaType)) return 'index';
  return MANIFEST_TYPES.includes(mediaType) ? 'manifest' : undefined;
}

/** Why a layer of this type cannot be read; undefined for one that can. */
export function layerProblem(mediaType: string): string | undefined {
  if (LAYER_TYPES.includes(mediaType)) return undefined;
  return mediaType.includes('encrypted')
    ? `a layer is encrypted (${mediaType})`
    : `a layer has the unknown type "${mediaType}"`;
}
