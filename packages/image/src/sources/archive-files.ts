import { type FileHandle, open } from 'node:fs/promises';
import { posix } from 'node:path';
import { readTarIndex, type TarEntry } from './tar-index.js';
import type { FilePart, ImageFiles } from './image-files.js';
import { imageInvalid } from './invalid.js';

const MAX_LINKS = 16;

/** The files of an uncompressed archive, which are read where they lie in it: nothing is unpacked. */
export class ArchiveFiles implements ImageFiles {
  readonly source: string;
  readonly #handle: FileHandle;
  readonly #entries: ReadonlyMap<string, TarEntry>;

  private constructor(source: string, handle: FileHandle, entries: ReadonlyMap<string, TarEntry>) {
    this.source = source;
    this.#handle = handle;
    this.#entries = entries;
  }

  /** @throws MICROVM_IMAGE_INVALID for what is no archive, or one that is damaged */
  static async open(path: string, source: string): Promise<ArchiveFiles> {
    const handle = await open(path, 'r');
    try {
      return new ArchiveFiles(source, handle, await readTarIndex(handle, source));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  async open(name: string): Promise<FilePart | undefined> {
    const entry = this.#follow(name);
    if (entry === undefined) return undefined;
    if (entry.kind !== 'file') {
      throw imageInvalid({ source: this.source, entry: name, reason: 'it is no regular file' });
    }
    const { offset, sizeBytes } = entry;
    return { handle: this.#handle, offset, sizeBytes, close: async () => {} };
  }

  /** Closes the archive, and with it all of its parts. */
  close(): Promise<void> {
    return this.#handle.close();
  }

  #follow(name: string): TarEntry | undefined {
    let at = posix.normalize(name);
    for (let links = 0; links <= MAX_LINKS; links += 1) {
      const entry = this.#entries.get(at);
      if (entry === undefined || entry.kind === 'file' || entry.kind === 'other') return entry;
      // A hard link names its target from the root of the archive, a symbolic link from its own folder.
      at = posix.normalize(
        entry.kind === 'hardlink' ? entry.target : posix.join(posix.dirname(at), entry.target),
      );
      if (entry.target.startsWith('/') || at === '..' || at.startsWith('../')) {
        throw imageInvalid({ source: this.source, entry: name, reason: 'it is a link out of the archive' });
      }
    }
    throw imageInvalid({ source: this.source, entry: name, reason: 'its links lead in a circle' });
  }
}
