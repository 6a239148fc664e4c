import { chmod } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  closeDescriptor,
  flattenLayers,
  type FlattenedImage,
  type FlattenLimits,
  type ImageLayer,
  openPipe,
} from '@microvm/native';
import { MIB } from '@microvm/runtime';
import { GuardedWork } from '../host/guarded-work.js';
import { runProgram } from '../host/program.js';
import { systemCode } from '../host/system-error.js';
import { imageInvalid } from '../sources/invalid.js';
import { setSquashfsRoot } from './squashfs-root.js';

/** Another number makes the templates of all images anew, when they are next wanted. */
export const TEMPLATE_VERSION = 1;
/** The root file system in a template's folder. */
export const ROOTFS_FILE = 'rootfs.squashfs';

// lz4 packs a Debian tree of 170 MB to 81 MB in half a second; zstd makes 53 MB of it in twenty, and a guest
// unpacks lz4 faster than it reads what zstd saves.
// Without an export table the overlay of the guest could not keep the names of a hard link together.
const FORMAT = ['-comp', 'lz4', '-noI', '-exports', '-b', '128K', '-mkfs-time', '0'];
const QUEUE_MIB = 64;
const MAX_THREADS = 4;
// Inodes and xattrs are kept in memory until the end: a million of them take less than this.
const MAX_MEMORY_BYTES = 4096 * MIB;
const MAX_CPU_S = 3600;
// Content of at most 64 GiB, and what describes a million inodes.
const MAX_ROOTFS_BYTES = 72 * 1024 * MIB;

export interface TemplateOptions {
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
  /** For errors. */
  readonly source: string;
  /** Names of the layers for errors, such as their digests. */
  readonly layerNames: readonly string[];
  /** Empty folder that the template is made in. */
  readonly folder: string;
  /** Folder on a disk for layers that are unpacked meanwhile. */
  readonly workDir: string;
  readonly limits?: Partial<FlattenLimits> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

interface SquashfsRun {
  readonly input: number;
  readonly path: string;
  readonly signal: AbortSignal;
}

/**
 * Makes one squashfs of all layers. The same layers give the same bytes.
 *
 * @throws MICROVM_IMAGE_INVALID for what is wrong in a layer; what the programs and the system say
 */
export async function makeRootfs(options: TemplateOptions): Promise<void> {
  const path = join(options.folder, ROOTFS_FILE);
  const work = new GuardedWork(options.signal);
  const { signal } = work;
  signal.throwIfAborted();
  const pipe = openPipe();
  // sqfstar has its own copy of the reading end once it runs: without ours, its death ends the writer.
  const squashfs = runSquashfs({ input: pipe.read, path, signal });
  closeDescriptor(pipe.read);
  const onProgress = work.guard(options.onProgress ?? (() => {}));
  const stream = flatten({ ...options, onProgress }, pipe.write, signal);
  const end = (error: unknown): never => {
    work.abort(error);
    throw error;
  };
  const [written, packed] = await Promise.allSettled([stream.catch(end), squashfs.catch(end)]);
  options.signal?.throwIfAborted();
  // A writer that lost its reader tells nothing: the reader does.
  if (written.status === 'rejected' && systemCode(written.reason) !== 'EPIPE') throw written.reason;
  if (packed.status === 'rejected') throw packed.reason;
  if (written.status === 'rejected') throw written.reason;
  await setSquashfsRoot(path, written.value.root);
  await chmod(path, 0o444);
}

function runSquashfs({ input, path, signal }: SquashfsRun): Promise<unknown> {
  const threads = Math.min(MAX_THREADS, availableParallelism());
  const effort = ['-mem', `${QUEUE_MIB}M`, '-processors', String(threads), '-no-progress', '-quiet'];
  return runProgram('sqfstar', [...FORMAT, ...effort, '-exit-on-error', path], {
    inputDescriptor: input,
    signal,
    diesWithUs: true,
    // sqfstar takes its times from there, and refuses both this and -mkfs-time.
    env: { SOURCE_DATE_EPOCH: undefined },
    limits: {
      cpuSeconds: MAX_CPU_S,
      addressSpaceBytes: MAX_MEMORY_BYTES,
      fileSizeBytes: MAX_ROOTFS_BYTES,
    },
  });
}

async function flatten(
  options: TemplateOptions,
  output: number,
  signal: AbortSignal,
): Promise<FlattenedImage> {
  const { layers, workDir, limits = {}, onProgress = () => {} } = options;
  const done = layers.map(() => 0);
  const total = layers.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
  try {
    return await flattenLayers({
      layers,
      workDir,
      output,
      limits,
      signal,
      onProgress: ({ layer, packedBytes }) => {
        done[layer] = packedBytes;
        onProgress(
          done.reduce((sum, bytes) => sum + bytes, 0),
          total,
        );
      },
    });
  } catch (error) {
    throw faultOf(error, options);
  }
}

interface FlattenFault {
  readonly layer: number;
  readonly entry?: string;
  readonly reason: string;
}

/** The contract's error for what the addon found wrong in a layer; every other error as it is. */
export function faultOf(
  error: unknown,
  { source, layerNames }: Pick<TemplateOptions, 'source' | 'layerNames'>,
): unknown {
  if (systemCode(error) !== 'IMAGE_INVALID') return error;
  const { layer, entry, reason } = error as Error & FlattenFault;
  const name = layerNames[layer] ?? `layer ${layer}`;
  return imageInvalid({ source, entry: entry ?? name, reason: `${reason} (in ${name})`, cause: error });
}
