import type { TreeEntry, TreeFilter } from '@microvm/runtime';
import { PayloadReader } from '../payload.js';
import { ProtocolError } from '../protocol.js';
import { FILE_MESSAGE_HEAD, MAX_FILE_MESSAGE, TreeMessage } from './file-protocol.js';

const TYPES: Readonly<Record<number, TreeEntry['type']>> = {
  0: 'file',
  1: 'fifo',
  2: 'device',
  4: 'folder',
  6: 'device',
  8: 'file',
  10: 'symlink',
};
const MAX_NAME = 255;
const MAX_TARGET = 4_095;
const OFFSET_BYTES = 8;

interface WireEntry extends Omit<TreeEntry, 'path'> {
  readonly name: string;
}

function decodeEntry(body: Buffer): WireEntry {
  const input = new PayloadReader(body);
  const type = TYPES[input.u8()];
  if (type === undefined) throw new ProtocolError('an entry of an unknown kind');
  const mode = input.u32();
  const [uid, gid] = [input.u32(), input.u32()];
  input.raw(12);
  const mtimeMs = Number(BigInt.asIntN(64, input.u64())) * 1_000 + input.u32() / 1_000_000;
  const size = Number(input.u64());
  input.raw(12);
  const name = input.blob(MAX_NAME).toString('utf8');
  const target = input.blob(MAX_TARGET).toString('utf8');
  input.end();
  return { type, mode, uid, gid, mtimeMs, size, name, ...(type === 'symlink' ? { target } : {}) };
}

/**
 * Looks at the messages of a tree on their way: counts them, and takes out what a filter does not want. Its
 * bounds are those of the framing alone; the writer of the tree checks all of it.
 */
export class TreeStream {
  readonly #filter: TreeFilter | undefined;
  #head = Buffer.alloc(0);
  #type = 0;
  #left = 0;
  /** The head and the body of an entry that is not whole yet. */
  #entry: Buffer[] = [];
  #folders: string[] = [];
  #hasRoot = false;
  /** Folders that are left out, one in the other. */
  #skippedFolders = 0;
  #skipsFile = false;
  #offset = 0;
  entries = 0;
  bytes = 0;

  constructor(filter: TreeFilter | undefined) {
    this.#filter = filter;
  }

  /** Answers the bytes that go on. Views of `chunk`, where they can be. */
  push(chunk: Buffer): Buffer[] {
    const kept: Buffer[] = [];
    for (let rest = chunk; rest.length > 0;) {
      rest = this.#left === 0 ? this.#takeHead(rest, kept) : this.#takeBody(rest, kept);
    }
    return kept;
  }

  #takeHead(chunk: Buffer, kept: Buffer[]): Buffer {
    const missing = FILE_MESSAGE_HEAD - this.#head.length;
    const head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk.subarray(0, missing)]);
    if (head.length < FILE_MESSAGE_HEAD) {
      this.#head = Buffer.from(head);
      return chunk.subarray(chunk.length);
    }
    this.#head = Buffer.alloc(0);
    const length = head.readUInt32LE(0);
    if (length < 1 || length > MAX_FILE_MESSAGE) throw new ProtocolError(`a message of ${length} bytes`);
    this.#type = head.readUInt8(4);
    this.#left = length - 1;
    this.#begin(Buffer.from(head.subarray(0, FILE_MESSAGE_HEAD)), kept);
    return chunk.subarray(missing);
  }

  #begin(head: Buffer, kept: Buffer[]): void {
    if (this.#type === TreeMessage.entry) {
      this.#entry = [head];
      if (this.#left === 0) throw new ProtocolError('an empty entry');
      return;
    }
    if (this.#type === TreeMessage.content) {
      this.#offset = Math.min(OFFSET_BYTES, this.#left);
      if (this.#isKept()) kept.push(head);
      return;
    }
    this.#skipsFile = false;
    if (this.#type !== TreeMessage.up || this.#goUp()) kept.push(head);
  }

  /** Whether the folder that ends was kept. */
  #goUp(): boolean {
    if (this.#skippedFolders > 0) {
      this.#skippedFolders -= 1;
      return false;
    }
    this.#folders.pop();
    return true;
  }

  #takeBody(chunk: Buffer, kept: Buffer[]): Buffer {
    const piece = chunk.subarray(0, this.#left);
    this.#left -= piece.length;
    if (this.#type === TreeMessage.entry) {
      this.#entry.push(Buffer.from(piece));
      if (this.#left === 0) this.#onEntry(Buffer.concat(this.#entry.splice(0)), kept);
    } else {
      const offset = Math.min(this.#offset, piece.length);
      this.#offset -= offset;
      if (this.#isKept()) {
        this.bytes += piece.length - offset;
        kept.push(piece);
      }
    }
    return chunk.subarray(piece.length);
  }

  #onEntry(message: Buffer, kept: Buffer[]): void {
    const entry = decodeEntry(message.subarray(FILE_MESSAGE_HEAD));
    this.#skipsFile = false;
    if (this.#skippedFolders > 0) {
      if (entry.type === 'folder') this.#skippedFolders += 1;
      return;
    }
    if (!this.#isWanted(entry)) {
      if (entry.type === 'folder') this.#skippedFolders = 1;
      else this.#skipsFile = true;
      return;
    }
    // The way to the root has no name of its own.
    if (entry.type === 'folder' && this.#hasRoot) this.#folders.push(entry.name);
    this.#hasRoot = true;
    this.entries += 1;
    kept.push(message);
  }

  #isWanted({ name, ...rest }: WireEntry): boolean {
    if (this.#filter === undefined || !this.#hasRoot) return true;
    return this.#filter({ path: [...this.#folders, name].join('/'), ...rest });
  }

  #isKept(): boolean {
    return this.#skippedFolders === 0 && !this.#skipsFile;
  }
}
