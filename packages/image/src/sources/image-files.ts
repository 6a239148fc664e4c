import { constants } from 'node:fs';
import { type FileHandle, open as openFile, readlink, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { hasCode } from '../host/system-error.js';
import { DOCUMENT_MAX_BYTES, type DocumentOrigin } from './documents.js';
import { imageInvalid } from './invalid.js';

/** A part of an open file: a file of a folder, or an entry of an archive. */
export interface FilePart {
  readonly handle: FileHandle;
  readonly offset: number;
  readonly sizeBytes: number;
  close(): Promise<void>;
}

/** The files of a layout or of an archive, by names that a stranger chose. */
export interface ImageFiles {
  /** What to call them in an error. */
  readonly source: string;
  /**
   * The file of that name; undefined when there is none. Links are followed as long as they stay inside.
   *
   * @throws MICROVM_IMAGE_INVALID for a link out, and for what is no regular file
   */
  open(name: string): Promise<FilePart | undefined>;
}

/** The content of a document; undefined when there is no such file. */
export async function readSmall(files: ImageFiles, name: string): Promise<Buffer | undefined> {
  const part = await files.open(name);
  return part === undefined ? undefined : readWhole(part, { source: files.source, entry: name });
}

/** The content of a document, which is then closed. */
export async function readWhole(part: FilePart, origin: DocumentOrigin): Promise<Buffer> {
  try {
    if (part.sizeBytes <= DOCUMENT_MAX_BYTES) return await readPart(part, 0, part.sizeBytes);
    const reason = `it has ${part.sizeBytes} bytes, expected at most ${DOCUMENT_MAX_BYTES}`;
    throw imageInvalid({ ...origin, reason });
  } finally {
    await part.close();
  }
}

/** Reads so many bytes of a part; fewer where the file has become shorter. */
export async function readPart(part: FilePart, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const at = part.offset + position + filled;
    const { bytesRead } = await part.handle.read(buffer, filled, length - filled, at);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

// open(2) of Linux on x86-64; Node has no name for it.
const O_PATH = 0o10000000;

/** The files of a folder. Somebody may change the folder meanwhile: what is looked at is the open file. */
export class FolderFiles implements ImageFiles {
  readonly source: string;
  readonly #folder: string;

  constructor(folder: string, source: string) {
    this.#folder = folder;
    this.source = source;
  }

  async open(name: string): Promise<FilePart | undefined> {
    const path = join(this.#folder, name);
    let place: FileHandle;
    try {
      // To open a device or a FIFO does something to it. The first look is at what it is and where.
      place = await openFile(path, O_PATH);
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
      if (hasCode(error, 'ELOOP')) throw this.#notRegular(name, error);
      throw error;
    }
    try {
      await this.#check(name, place);
      const handle = await openFile(`/proc/self/fd/${place.fd}`, constants.O_RDONLY);
      const { size } = await handle.stat();
      return { handle, offset: 0, sizeBytes: size, close: () => handle.close() };
    } finally {
      await place.close();
    }
  }

  async #check(name: string, place: FileHandle): Promise<void> {
    const root = await realpath(this.#folder);
    const actual = await readlink(`/proc/self/fd/${place.fd}`);
    if (!actual.startsWith(root === sep ? sep : `${root}${sep}`)) {
      throw imageInvalid({ source: this.source, entry: name, reason: 'it is a link out of the layout' });
    }
    if (!(await place.stat()).isFile()) throw this.#notRegular(name);
  }

  #notRegular(entry: string, cause?: unknown): Error {
    return imageInvalid({ source: this.source, entry, reason: 'it is no regular file', cause });
  }
}
