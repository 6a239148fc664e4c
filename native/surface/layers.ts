import { abortable, abortSignal, absolute, invalid, object } from './calls.js';
import { closeDescriptor } from './descriptors.js';
import { loadAddon } from './load.js';

/** One layer of an image: an archive (tar) in a file, or a folder with the files themselves. */
export interface ImageLayer {
  readonly path: string;
  readonly compression: 'none' | 'gzip' | 'zstd' | 'xz' | 'folder';
  /** SHA-256 of the packed file, in hex; checked while it is read. Not of a folder. */
  readonly digest?: string;
  /** Size of the packed file; checked before it is read. Not of a folder. */
  readonly sizeBytes?: number;
  /** SHA-256 of the unpacked archive, in hex; checked while it is read. Not of a folder. */
  readonly diffId?: string;
}

/** How much an image may be; each number is the largest that is accepted. */
export interface FlattenLimits {
  /** Default 128. */
  readonly layers: number;
  /** Entries of all layers, and the folders that only the names of others tell of. Default 1,000,000. */
  readonly entries: number;
  /** Of a name and of a link's target; default 4,095. */
  readonly pathBytes: number;
  /** Folders above one another; default 256, at most 1,024. */
  readonly depth: number;
  /** Of the content of all files of all layers, holes included; default 64 GiB. */
  readonly totalBytes: number;
  /** Of one file, holes included; default 32 GiB. */
  readonly fileBytes: number;
  /** Of the value of one extended attribute; default 64 KiB. */
  readonly xattrBytes: number;
  /** Of the names and values of the extended attributes of one entry; default 1 MiB. */
  readonly inodeXattrBytes: number;
  /** Of the records of one PAX header; default 4 MiB. */
  readonly paxBytes: number;
  /** Of all names, targets and extended attributes, which are kept in memory; default 256 MiB. */
  readonly metadataBytes: number;
  /** A layer may unpack to so many times its packed size; default 200. */
  readonly ratio: number;
  /** A layer may unpack to so many bytes whatever its packed size is; default 64 MiB. */
  readonly ratioFreeBytes: number;
}

export interface FlattenProgress {
  readonly layer: number;
  readonly packedBytes: number;
  /** Of this layer. */
  readonly totalPackedBytes: number;
}

/**
 * The root is no entry of the stream, because sqfstar would leave it out. sqfstar 4.5.1 takes the mode as the
 * option `-root-mode`; of `-root-uid`, `-root-gid` and `-root-time` it takes no notice, so that the root of a
 * squashfs belongs to the user who runs sqfstar, and has the time at which it was made.
 */
export interface ImageRoot {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
}

export interface FlattenOptions {
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
  /** Where the content of files is kept meanwhile, in files without a name: nothing is left there. */
  readonly workDir: string;
  /**
   * The descriptor that the stream is written to. From the call on it belongs to the call, which closes it in
   * every outcome but a TypeError.
   */
  readonly output: number;
  readonly limits?: Partial<FlattenLimits>;
  /** Aborting rejects with the signal's reason, also while the reader of the output is slow. */
  readonly signal?: AbortSignal;
  /** Called now and then (about every 50 ms a layer), and when all of a layer has been read. */
  readonly onProgress?: (progress: FlattenProgress) => void;
  /** Called once, when all layers have been read: the first byte may not have been written yet. */
  readonly onRoot?: (root: ImageRoot) => void;
}

/** What was found of a layer. A folder has no digests. */
export interface LayerFacts {
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  readonly digest?: string;
  readonly diffId?: string;
}

export interface FlattenedImage {
  /** In the stream: all names but the root. */
  readonly entries: number;
  /** Of the content of files, holes included; each file once. */
  readonly fileBytes: number;
  readonly streamBytes: number;
  /**
   * Extended attributes that a squashfs cannot hold, or that sqfstar cannot be told: all but `user.`,
   * `trusted.` and `security.`, those with a `=` in their names, and those of the root.
   */
  readonly droppedXattrs: number;
  /** Times before 1970 or after 2106, for which the nearest that a squashfs can hold was written. */
  readonly clampedTimes: number;
  readonly root: ImageRoot;
  readonly layers: readonly LayerFacts[];
}

/** Why {@link flattenLayers} refuses an image. */
export interface ImageInvalidError extends Error {
  readonly code: 'IMAGE_INVALID';
  /** Index of the layer. */
  readonly layer: number;
  /** The name as it stands in the layer; bytes that are no UTF-8 are U+FFFD. */
  readonly entry?: string;
  readonly reason: string;
}

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Reads the layers of an image, checks them, merges them by the rules of the OCI image specification and
 * writes one normalised PAX stream to `output`: folders before what is in them, the target of a hard link
 * before the link, each name once, owners, modes, devices, extended attributes and holes kept, times in whole
 * seconds. The stream is what sqfstar of squashfs-tools 4.5.1 reads without a loss.
 *
 * The layers are read once, several at a time; memory grows with the number of names and not with the size of
 * files.
 *
 * @throws ImageInvalidError (as rejection) for what is wrong in the image. SystemError for what the host
 * cannot do: `ENOSPC` in `workDir`, `EPIPE` when the reader of the output has gone…
 */
export function flattenLayers(flattenOptions: FlattenOptions): Promise<FlattenedImage> {
  const { layers, workDir, output, signal, limits, onProgress, onRoot } = object(flattenOptions, 'options');
  abortSignal(signal);
  if (!Array.isArray(layers)) throw invalid('layers', 'an array');
  const inputs = layers.map((layer: ImageLayer, index) => {
    const { path, digest, diffId } = object(layer, `layers[${String(index)}]`);
    for (const [name, value] of Object.entries({ digest, diffId })) {
      if (value !== undefined && !SHA256.test(value)) throw invalid(name, '64 hexadecimal digits');
    }
    return { ...layer, path: absolute(path, 'path') };
  });
  const folder = absolute(workDir, 'workDir');
  if (!Number.isInteger(output) || output < 0) throw invalid('output', 'a descriptor');
  for (const [name, value] of Object.entries({ onProgress, onRoot })) {
    if (value !== undefined && typeof value !== 'function') throw invalid(name, 'a function');
  }
  if (signal?.aborted) {
    closeDescriptor(output);
    return Promise.reject(signal.reason);
  }
  const tell = (news: FlattenProgress | ImageRoot): void =>
    'layer' in news ? onProgress?.(news) : onRoot?.(news);
  const isHeard = onProgress !== undefined || onRoot !== undefined;
  const options = { limits, ...(isHeard ? { onProgress: tell } : {}) };
  return abortable(signal, () => loadAddon().flattenLayers(inputs, folder, output, options));
}
