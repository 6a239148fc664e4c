import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { invalidArgument, MIB } from '@microvm/runtime';
import { runProgram } from '../host/program.js';
import { ignoreAbsent, systemCode } from '../host/system-error.js';
import { ArchiveFiles } from './archive-files.js';
import { type Compression, compressionOf } from './compression.js';
import { readDockerArchive } from './docker-archive.js';
import { FolderFiles, type FilePart } from './image-files.js';
import { imageInvalid } from './invalid.js';
import { readOciLayout } from './oci-layout.js';
import type { OfferedImage } from './offered-image.js';
import { looksLikeImageArchive } from './tar-index.js';

/** A file system without a manifest: the files of a tar archive, or of a folder. */
export interface RootfsSource {
  readonly path: string;
  readonly compression: Compression | 'folder';
}

/** What a source turned out to be: one of the two. The caller closes it. */
export type OpenedSource = { close(): Promise<void> } & (
  | { readonly image: OfferedImage; readonly rootfs?: undefined }
  | { readonly image?: undefined; readonly rootfs: RootfsSource }
);

export interface OpenCall {
  /** For an archive that must be unpacked first. */
  readonly workDir: string;
  readonly signal?: AbortSignal | undefined;
}

const KINDS = ['oci', 'oci-archive', 'docker-archive', 'rootfs'] as const;
type Kind = (typeof KINDS)[number];
// What an outer archive may unpack to: that many times its size, beyond a first part.
const MAX_RATIO = 200;
const FREE_BYTES = 64 * MIB;

interface Located {
  readonly kind: Kind | undefined;
  readonly path: string;
  readonly tag: string | undefined;
}

/**
 * Opens `oci:FOLDER[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:TAG]`, `rootfs:FILE-OR-FOLDER`,
 * or a path, of which it finds out what it is.
 *
 * @throws MICROVM_IMAGE_INVALID, MICROVM_UNSUPPORTED, MICROVM_INVALID_ARGUMENT
 */
export async function openSource(source: string, call: OpenCall): Promise<OpenedSource> {
  const located = await locate(source);
  const { path } = located;
  const found = await stat(path);
  const isFolder = found.isDirectory();
  if (!isFolder && !found.isFile()) throw invalidArgument('source', `a file or a folder, not "${source}"`);
  const kind = located.kind ?? (isFolder ? await kindOfFolder(path) : await kindOfFile(path, source));
  if (kind === 'rootfs') {
    const compression = isFolder ? 'folder' : await compressionOfFile(path);
    return { rootfs: { path, compression }, close: async () => {} };
  }
  if (isFolder) {
    const image = await readOciLayout(new FolderFiles(path, source), { tag: located.tag });
    return { image, close: async () => {} };
  }
  return openArchive({ ...located, kind, source }, call);
}

async function locate(source: string): Promise<Located> {
  const [, prefix] = /^([a-z-]+):/.exec(source) ?? [];
  const kind = KINDS.find((each) => each === prefix);
  const rest = kind === undefined ? source : source.slice(kind.length + 1);
  if ((await stat(rest).catch(ignoreAbsent)) !== undefined) {
    return { kind, path: resolve(rest), tag: undefined };
  }
  const colon = rest.lastIndexOf(':');
  const path = rest.slice(0, colon < 0 ? rest.length : colon);
  if (colon > 0 && (await stat(path).catch(ignoreAbsent)) !== undefined) {
    // A tag has colons of its own where it is a whole name, such as `app:1.0`.
    return { kind, path: resolve(path), tag: rest.slice(colon + 1) };
  }
  throw invalidArgument('source', `an existing file or folder, not "${source}"`);
}

async function openArchive(
  { kind, path, tag, source }: Located & { source: string },
  call: OpenCall,
): Promise<OpenedSource> {
  const files = await ArchiveFiles.open(await unpacked(path, source, call), source);
  try {
    // What docker saves today is both; the layout in it says more.
    const isLayout = kind === 'oci-archive' || files.has('index.json');
    const image = await (isLayout ? readOciLayout(files, { tag }) : readDockerArchive(files, tag));
    return { image, close: () => files.close() };
  } catch (error) {
    await files.close();
    throw error;
  }
}

async function kindOfFolder(path: string): Promise<Kind> {
  const names = ['oci-layout', 'index.json'];
  const found = await Promise.all(names.map((name) => stat(join(path, name)).catch(ignoreAbsent)));
  return found.some((each) => each !== undefined) ? 'oci' : 'rootfs';
}

/** Only the beginning of a file is looked at, so that it does not matter how large the file is. */
async function kindOfFile(path: string, source: string): Promise<Kind> {
  const compression = await compressionOfFile(path);
  if (compression !== 'none' && compression !== 'gzip') return 'rootfs';
  const start = createReadStream(path);
  const stream = compression === 'gzip' ? start.pipe(createGunzip()) : start;
  start.once('error', (error) => stream.destroy(error));
  try {
    return (await looksLikeImageArchive(stream)) ? 'docker-archive' : 'rootfs';
  } catch (error) {
    throw damagedGzip(error, source);
  } finally {
    start.destroy();
  }
}

async function compressionOfFile(path: string): Promise<Compression> {
  const handle = await open(path, 'r');
  const part: FilePart = { handle, offset: 0, sizeBytes: (await handle.stat()).size, close: async () => {} };
  return compressionOf(part).finally(() => handle.close());
}

/** The archive itself, or one without compression in the work folder. */
async function unpacked(path: string, source: string, { workDir, signal }: OpenCall): Promise<string> {
  const compression = await compressionOfFile(path);
  if (compression === 'none') return path;
  const to = join(workDir, 'archive.tar');
  const maxBytes = FREE_BYTES + MAX_RATIO * (await stat(path)).size;
  if (compression === 'gzip') {
    let bytes = 0;
    const bounded = async function* (chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > maxBytes)
          throw imageInvalid({ source, reason: `it unpacks to more than ${maxBytes} bytes` });
        yield chunk;
      }
    };
    try {
      await pipeline(createReadStream(path), createGunzip(), bounded, createWriteStream(to), { signal });
    } catch (error) {
      throw damagedGzip(error, source);
    }
    return to;
  }
  const limits = { cpuSeconds: 3600, addressSpaceBytes: 2048 * MIB, fileSizeBytes: maxBytes };
  const target = await open(to, 'wx', 0o600);
  try {
    const outputDescriptor = target.fd;
    await runProgram(compression, ['-d', '-q', '-c', '--', path], { signal, limits, outputDescriptor });
  } finally {
    await target.close();
  }
  return to;
}

/** The contract's error for what zlib found; every other error as it is. */
function damagedGzip(error: unknown, source: string): unknown {
  if (!(error instanceof Error) || systemCode(error)?.startsWith('Z_') !== true) return error;
  return imageInvalid({ source, reason: `its gzip is damaged: ${error.message}`, cause: error });
}
