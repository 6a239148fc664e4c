import { createHash } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB, syncPath } from '@microvm/runtime';
import { sha256 } from '../content/file-digest.js';
import { ignoreAbsent } from '../host/system-error.js';
import { readPart } from '../sources/image-files.js';
import { imageInvalid } from '../sources/invalid.js';
import type { OfferedBlob } from '../sources/offered-image.js';

const BLOB_NAME = /^[0-9a-f]{64}$/;
const CHUNK_BYTES = 4 * MIB;
const START_BYTES = 4096;
const MODE = 0o444;

export interface StageCall {
  readonly source: string;
  readonly signal: AbortSignal | undefined;
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Manifests, configs and layers by their digest, in the form of the folder that OCI layouts share. A blob
 * gets its name when its content is on the disk: it is whole or absent.
 */
export class BlobStore {
  readonly folder: string;

  /** @param folder `blobs/sha256` of the store */
  constructor(folder: string) {
    this.folder = folder;
  }

  path(digest: string): string {
    return join(this.folder, digest);
  }

  async has(digest: string, sizeBytes?: number): Promise<boolean> {
    const found = await stat(this.path(digest)).catch(ignoreAbsent);
    return found !== undefined && (sizeBytes === undefined || found.size === sizeBytes);
  }

  async read(digest: string): Promise<Buffer | undefined> {
    return readFile(this.path(digest)).catch(ignoreAbsent);
  }

  async list(): Promise<string[]> {
    return (await readdir(this.folder)).filter((name) => BLOB_NAME.test(name));
  }

  async remove(digest: string): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  /**
   * Makes all layers visible in another folder of the same file system, so that none is fetched again.
   * Manifests and configs stay out of it: skopeo 1.9.3 writes a manifest over the file of its name, which
   * would be the store's own.
   */
  async linkLayersInto(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    for (const digest of await this.list()) {
      if (await isDocument(this.path(digest))) continue;
      await link(this.path(digest), join(folder, digest)).catch(ignoreAbsent);
    }
  }

  /**
   * Copies a blob into a folder under its digest and checks size and digest on the way.
   *
   * @throws MICROVM_IMAGE_INVALID
   */
  async stage(blob: OfferedBlob, folder: string, call: StageCall): Promise<void> {
    const { digest, name: entry, sizeBytes } = blob;
    const { source } = call;
    const part = await blob.open();
    const target = await open(join(folder, digest), 'w', MODE);
    try {
      if (part.sizeBytes !== sizeBytes) {
        const reason = `it has ${part.sizeBytes} bytes, expected ${sizeBytes}`;
        throw imageInvalid({ source, entry, reason });
      }
      const hash = createHash('sha256');
      for (let at = 0; at < sizeBytes;) {
        call.signal?.throwIfAborted();
        const chunk = await readPart(part, at, Math.min(CHUNK_BYTES, sizeBytes - at));
        if (chunk.length === 0) throw imageInvalid({ source, entry, reason: `it ends after ${at} bytes` });
        hash.update(chunk);
        await target.writeFile(chunk);
        at += chunk.length;
        call.onBytes?.(chunk.length);
      }
      const actual = hash.digest('hex');
      if (actual === digest) return;
      throw imageInvalid({ source, entry, reason: `its digest is sha256:${actual}, not sha256:${digest}` });
    } finally {
      await target.close();
      await part.close();
    }
  }

  /** Puts a small blob into a folder under its digest, which the answer is. */
  async stageData(data: Buffer | string, folder: string): Promise<string> {
    const digest = sha256(data);
    await writeFile(join(folder, digest), data, { mode: MODE });
    return digest;
  }

  /** Flushes those of the staged blobs that the store does not have: the first half of `publish`. */
  async settle(folder: string, digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      if (!(await this.has(digest))) await syncPath(join(folder, digest));
    }
  }

  /** Gives settled blobs their place. Under the store's lock, so that a sweep sees all of them or none. */
  async publish(folder: string, digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      if (!(await this.has(digest))) await rename(join(folder, digest), this.path(digest));
    }
    await syncPath(this.folder);
  }
}

/** A manifest or a config: JSON, as no archive is. True for what is gone. */
async function isDocument(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch(ignoreAbsent);
  if (file === undefined) return true;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(START_BYTES), 0, START_BYTES, 0);
    return /^\s*(\{|$)/.test(buffer.toString('latin1', 0, bytesRead));
  } finally {
    await file.close();
  }
}
