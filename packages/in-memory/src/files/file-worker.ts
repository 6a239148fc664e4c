import { constants } from 'node:os';
import {
  encodeFileFailed,
  fileProtocol,
  PayloadReader,
  PayloadWriter,
  ProtocolError,
  type ScriptedCommand,
} from '@microvm/guest';
import type { FileSystem } from '../fs/file-system.js';
import { calling, FileFailure } from './file-failure.js';
import { Watch } from './watch.js';
import { ContentRequests } from './content-requests.js';
import { PathRequests, readPath, type Answer } from './path-requests.js';
import { TreeRequests } from './tree-requests.js';

const { FILE_MESSAGE_HEAD, FileAnswer, FileOp, MAX_FILE_DATA, MAX_FILE_MESSAGE } = fileProtocol;
const BROKEN = 2;
const FIRST_TREE_MESSAGE = 0x40;

export interface FileWorkerParts {
  readonly command: Pick<ScriptedCommand, 'stdin' | 'stdout'>;
  /** As the worker's user sees them. */
  readonly files: FileSystem;
  /** What was changed is on the disk when this resolves. */
  save(): Promise<void>;
  /** Gives the event loop its turn, and waits while the VM is paused. */
  breathe(): Promise<void>;
}

/** Serves the requests of one file worker, as docs/guest-protocol.md has them. Answers its exit code. */
export async function serveFiles(parts: FileWorkerParts): Promise<number> {
  const worker = new FileWorker(parts);
  try {
    for await (const chunk of parts.command.stdin) await worker.take(chunk);
    await worker.end();
    return 0;
  } catch (error) {
    if (error instanceof ProtocolError) return BROKEN;
    throw error;
  } finally {
    worker.close();
  }
}

class FileWorker {
  readonly #parts: FileWorkerParts;
  readonly #paths: PathRequests;
  readonly #content: ContentRequests;
  readonly #trees: TreeRequests;
  #rest: Buffer = Buffer.alloc(0);
  #watch: Watch | undefined;
  #saved: number;

  constructor(parts: FileWorkerParts) {
    this.#parts = parts;
    const { files } = parts;
    const send = (type: number, body: Buffer) => this.#send(type, body);
    this.#content = new ContentRequests(files, send);
    this.#paths = new PathRequests(files, { send, opened: () => this.#content.opened });
    this.#trees = new TreeRequests(files, send);
    this.#saved = files.tree.version;
  }

  close(): void {
    void this.#watch?.stop();
    this.#content.close();
    this.#trees.close();
  }

  /** The host asks for nothing more: a watch is over. */
  async end(): Promise<void> {
    const watch = this.#watch;
    if (watch === undefined) return;
    await watch.stop();
    await this.#send(FileAnswer.done, Buffer.alloc(0));
  }

  async take(chunk: Buffer): Promise<void> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= FILE_MESSAGE_HEAD) {
      const length = this.#rest.readUInt32LE(0);
      if (length < 1 || length > MAX_FILE_MESSAGE) throw new ProtocolError('a message of this length');
      if (this.#rest.length < 4 + length) return;
      const message = this.#rest.subarray(4, 4 + length);
      this.#rest = this.#rest.subarray(4 + length);
      await this.#parts.breathe();
      await this.#perform(message.readUInt8(0), message.subarray(1));
    }
  }

  /** `undefined`: the request has no answer yet, or had it. */
  async #perform(op: number, body: Buffer): Promise<void> {
    try {
      const answer = await this.#answer(op, body);
      if (answer === undefined) return;
      await this.#save();
      await this.#send(FileAnswer.done, answer);
    } catch (error) {
      if (error instanceof FileFailure) {
        const errno =
          (constants.errno as Readonly<Record<string, number>>)[error.errno] ?? constants.errno.EIO;
        const failed = { errno, syscall: error.syscall, path: Buffer.alloc(0) };
        await this.#send(FileAnswer.failed, encodeFileFailed(failed));
      } else {
        throw error;
      }
    }
  }

  #answer(op: number, body: Buffer): Answer | Promise<Answer> {
    if (op === FileOp.watch) return this.#beginWatch(body);
    if (op >= FIRST_TREE_MESSAGE) return this.#trees.perform(op, body);
    return op >= FileOp.readFile ? this.#content.perform(op, body) : this.#paths.perform(op, body);
  }

  /** Answered when it is over. */
  #beginWatch(body: Buffer): undefined {
    const input = new PayloadReader(body);
    const isRecursive = input.u8() === 1;
    const path = readPath(input);
    input.end();
    if (this.#watch !== undefined) throw new ProtocolError('a worker watches once');
    const send = (type: number, event: Buffer) => this.#send(type, event);
    const parts = { files: this.#parts.files, path, isRecursive, send };
    this.#watch = calling('watch', () => new Watch(parts));
  }

  async #save(): Promise<void> {
    const { version } = this.#parts.files.tree;
    if (version === this.#saved) return;
    await this.#parts.save();
    this.#saved = version;
  }

  async #send(type: number, body: Buffer): Promise<void> {
    if (body.length > MAX_FILE_DATA + 4_096) throw new Error('an answer that is too long');
    await this.#parts.command.stdout(
      new PayloadWriter()
        .u32(body.length + 1)
        .u8(type)
        .raw(body)
        .done(),
    );
  }
}
