import { fileProtocol, PayloadReader, ProtocolError } from '@microvm/guest';
import type { FileSystem } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';
import { calling, FileFailure } from './file-failure.js';
import { openWithFlags, readFrom, writeTo, type OpenedFile } from './open-file-flags.js';
import { readPath, type Answer, type Send } from './path-requests.js';

const { FileAnswer, FileOp, MAX_FILE_DATA, NO_POSITION, WRITE_ATOMIC } = fileProtocol;
const NOTHING = Buffer.alloc(0);

/** A WRITE_FILE that is not whole yet. */
interface Writing {
  /** Undefined: it has failed, and what still comes of it is thrown away. */
  file: OpenedFile | undefined;
  /** Of an atomic write: what is renamed, and over what. */
  readonly rename: readonly [from: string, to: string] | undefined;
}

/** The requests that carry the bytes of a file. */
export class ContentRequests {
  readonly #files: FileSystem;
  readonly #send: Send;
  #opened: OpenedFile | undefined;
  #writing: Writing | undefined;

  constructor(files: FileSystem, send: Send) {
    this.#files = files;
    this.#send = send;
  }

  /** The file that is open. Throws a `FileFailure` when none is. */
  get opened(): OpenedFile {
    if (this.#opened === undefined) throw new FileFailure('EBADF', 'fstat');
    return this.#opened;
  }

  close(): void {
    this.#letGo(this.#opened);
    this.#opened = undefined;
    this.#giveUp();
  }

  async perform(op: number, body: Buffer): Promise<Answer> {
    const input = new PayloadReader(body);
    switch (op) {
      case FileOp.readFile:
        return this.#readFile(input);
      case FileOp.writeFile:
        return this.#writeFile(input);
      case FileOp.data:
        return this.#onData(body);
      case FileOp.commit:
        return this.#commit();
      case FileOp.open:
        return this.#open(input);
      case FileOp.read:
        return this.#read(input);
      case FileOp.write:
        return this.#write(input);
      case FileOp.sync:
        void this.opened; // in memory nothing waits to be written back
        return NOTHING;
      case FileOp.close:
        this.#letGo(this.#opened);
        this.#opened = undefined;
        return NOTHING;
      default:
        throw new ProtocolError('no such request');
    }
  }

  async #readFile(input: PayloadReader): Promise<Buffer> {
    const [flags, start, most] = [input.u32(), position(input.u64()), Number(input.u64())];
    const path = readPath(input);
    input.end();
    const file = calling('open', () => openWithFlags(this.#files, path, flags, 0o666));
    try {
      file.offset = start ?? 0;
      for (let left = most; left > 0;) {
        const data = calling('read', () => readFrom(file, Math.min(left, MAX_FILE_DATA), undefined));
        if (data.length === 0) break;
        await this.#send(FileAnswer.data, data);
        left -= data.length;
      }
      return NOTHING;
    } finally {
      this.#letGo(file);
    }
  }

  #writeFile(input: PayloadReader): Answer {
    if (this.#writing !== undefined) throw new ProtocolError('a file is being written');
    const [flags, mode, bits, start] = [input.u32(), input.u32(), input.u8(), position(input.u64())];
    const path = readPath(input);
    input.end();
    this.#writing = { file: undefined, rename: undefined };
    calling('open', () => {
      const rename = (bits & WRITE_ATOMIC) === 0 ? undefined : this.#beside(path);
      const file = openWithFlags(this.#files, rename?.[0] ?? path, flags, mode);
      this.#writing = { file, rename };
      if (start !== undefined) file.offset = start;
      const old = rename === undefined ? undefined : this.#files.find(rename[1]);
      if (old === undefined) return;
      const isRoot = this.#files.user.uid === 0;
      this.#files.tree.setFacts(file.inode, {
        mode: old.mode,
        ...(isRoot ? { uid: old.uid, gid: old.gid } : {}),
      });
    });
    return undefined;
  }

  /** A path beside the file that a path leads to, and that file's own path. */
  #beside(path: string): readonly [string, string] {
    const { folder, name, inode } = this.#files.locate(path);
    if (inode?.kind === 'directory') throw new DiskError('EISDIR', path);
    const target = inode === undefined ? path : this.#files.realpath(path);
    const at = target.lastIndexOf('/');
    for (let number = 0; ; number += 1) {
      const beside = `.${name.slice(0, 200)}.${number}.tmp`;
      if (!folder.entries.has(beside)) return [`${target.slice(0, at)}/${beside}`, target];
    }
  }

  #onData(body: Buffer): Answer {
    if (this.#writing === undefined) throw new ProtocolError('content of no file');
    if (body.length === 0 || body.length > MAX_FILE_DATA) throw new ProtocolError('content of this length');
    const { file } = this.#writing;
    if (file === undefined) return undefined;
    try {
      calling('write', () => writeTo(this.#files, file, body, undefined));
    } catch (error) {
      this.#undo(this.#writing);
      throw error;
    }
    return undefined;
  }

  #commit(): Answer {
    const writing = this.#writing;
    if (writing === undefined) throw new ProtocolError('nothing is being written');
    this.#writing = undefined;
    const { file, rename } = writing;
    if (file === undefined) return undefined; // it has been answered
    try {
      if (rename !== undefined) calling('rename', () => this.#files.rename(...rename));
    } finally {
      this.#letGo(file);
    }
    return NOTHING;
  }

  #giveUp(): void {
    if (this.#writing !== undefined) this.#undo(this.#writing);
    this.#writing = undefined;
  }

  #undo(writing: Writing): void {
    this.#letGo(writing.file);
    writing.file = undefined;
    const [temporary] = writing.rename ?? [];
    if (temporary !== undefined && this.#files.find(temporary) !== undefined) this.#files.unlink(temporary);
  }

  #open(input: PayloadReader): Buffer {
    const [flags, mode] = [input.u32(), input.u32()];
    const path = readPath(input);
    input.end();
    if (this.#opened !== undefined) throw new ProtocolError('a file is open');
    this.#opened = calling('open', () => openWithFlags(this.#files, path, flags, mode));
    return NOTHING;
  }

  async #read(input: PayloadReader): Promise<Buffer> {
    const [from, bytes] = [position(input.u64()), input.u32()];
    input.end();
    const file = this.opened;
    for (let left = bytes, at = from; left > 0;) {
      const data = calling('read', () => readFrom(file, Math.min(left, MAX_FILE_DATA), at));
      if (data.length === 0) break;
      await this.#send(FileAnswer.data, data);
      left -= data.length;
      if (at !== undefined) at += data.length;
    }
    return NOTHING;
  }

  #write(input: PayloadReader): Buffer {
    const at = position(input.u64());
    const data = input.blob(MAX_FILE_DATA);
    input.end();
    calling('write', () => writeTo(this.#files, this.opened, data, at));
    return NOTHING;
  }

  #letGo(file: OpenedFile | undefined): void {
    if (file !== undefined) this.#files.tree.letGo(file.inode);
  }
}

/** Undefined: where the file stands, or begins. */
function position(value: bigint): number | undefined {
  return value === NO_POSITION ? undefined : Number(value);
}
