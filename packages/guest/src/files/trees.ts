import { TreeFeed, TreeSource } from '@microvm/native';
import type { TreeState } from '@microvm/native';
import { invalidArgument, VmRuntimeError } from '@microvm/runtime';
import type { CopyInOptions, CopyOutOptions, GuestPath, TreeCopy } from '@microvm/runtime';
import { PayloadReader, PayloadWriter } from '../payload.js';
import { ProtocolError } from '../protocol.js';
import { unreachable } from '../unreachable.js';
import { ask, decodeNothing } from './ask.js';
import { checkLengths, checkOptions, checkPath, checkSize } from './file-arguments.js';
import { fileMessage } from './file-message.js';
import { FileOp, TREE_DEVICES, TREE_HARD_LINKS, TREE_OWNERS } from './file-protocol.js';
import type { FileWorker } from './file-worker.js';
import { TreeStream } from './tree-stream.js';
import type { WorkerPool } from './worker-pool.js';

const DEFAULT_MAX_ENTRIES = 1_000_000;
const DEFAULT_MAX_BYTES = 64 * 2 ** 30;

function checkHostPath(name: string, path: unknown): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw invalidArgument(name, 'a path of this host');
  return path;
}

function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') throw invalidArgument(name, 'a function');
}

/** Copies a tree of the host into the guest. See `GuestFiles.copyIn`. */
export async function copyIn(
  pool: WorkerPool,
  hostPath: string,
  guestPath: GuestPath,
  options: CopyInOptions,
): Promise<TreeCopy> {
  const { owners = false, devices = false, filter, onProgress } = options;
  checkFunction('filter', filter);
  checkFunction('onProgress', onProgress);
  const from = checkHostPath('hostPath', hostPath);
  const to = checkPath('guestPath', guestPath);
  const paths = checkLengths('open', [to]);
  const flags = (owners ? TREE_OWNERS : 0) | (devices ? TREE_DEVICES : 0);
  const message = fileMessage(FileOp.receiveTree, new PayloadWriter().u8(flags).blob(to.bytes));
  const run = async (worker: FileWorker): Promise<TreeCopy> => {
    const source = new TreeSource(from, { hardLinks: filter === undefined });
    const stream = new TreeStream(filter);
    let isAnswered = false;
    const answer = ask(worker, { message, paths, decode: decodeCounts }).finally(() => (isAnswered = true));
    answer.catch(() => undefined); // It is awaited below; it may fail before.
    try {
      for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
        const bytes = Buffer.concat(stream.push(chunk));
        if (isAnswered || worker.isOver) break;
        if (bytes.length > 0) await new Promise<void>((sent) => worker.send(bytes, undefined, sent));
        onProgress?.({ entries: stream.entries, bytes: stream.bytes });
      }
    } finally {
      source.close();
    }
    return answer;
  };
  return pool.run({ operation: 'copyIn', use: 'stream', options: checkOptions(options), run });
}

function decodeCounts(body: Buffer): TreeCopy {
  const input = new PayloadReader(body);
  const counts = { entries: Number(input.u64()), bytes: Number(input.u64()), skipped: Number(input.u64()) };
  input.end();
  return counts;
}

/** Copies a tree of the guest to the host. See `GuestFiles.copyOut`. */
export async function copyOut(
  pool: WorkerPool,
  guestPath: GuestPath,
  hostPath: string,
  options: CopyOutOptions,
): Promise<TreeCopy> {
  const { owners = false, devices = false, filter, onProgress } = options;
  const { maxEntries = DEFAULT_MAX_ENTRIES, maxBytes = DEFAULT_MAX_BYTES } = options;
  checkFunction('filter', filter);
  checkFunction('onProgress', onProgress);
  const limits = {
    maxEntries: checkSize('maxEntries', maxEntries, 1),
    maxBytes: checkSize('maxBytes', maxBytes, 1),
  };
  const from = checkPath('guestPath', guestPath);
  const to = checkHostPath('hostPath', hostPath);
  const paths = checkLengths('open', [from]);
  const flags = filter === undefined ? TREE_HARD_LINKS : 0;
  const message = fileMessage(FileOp.sendTree, new PayloadWriter().u8(flags).blob(from.bytes));
  const run = async (worker: FileWorker): Promise<TreeCopy> => {
    const feed = new TreeFeed(to, { owners, devices, ...limits });
    const written = new TreeWriting(worker, feed, new TreeStream(filter), options);
    try {
      await ask(worker, { message, paths, decode: decodeNothing, onTree: (bytes) => written.push(bytes) });
      return await written.end();
    } catch (error) {
      throw explain(error, worker, limits);
    } finally {
      feed.close();
    }
  };
  return pool.run({ operation: 'copyOut', use: 'stream', options: checkOptions(options), run });
}

function explain(
  error: unknown,
  { vm }: FileWorker,
  { maxEntries, maxBytes }: { readonly maxEntries: number; readonly maxBytes: number },
): unknown {
  // The reason of an abort may be anything.
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === 'EPROTO' || error instanceof ProtocolError)
    return unreachable(vm, 'it sent a tree that breaks the protocol', { cause: error });
  if (code !== 'EOVERFLOW') return error;
  if (syscall === 'link') return unreachable(vm, 'it sent a tree with too many links', { cause: error });
  const what = syscall === 'entries' ? `${maxEntries} entries` : `${maxBytes} bytes`;
  return new VmRuntimeError('MICROVM_OUTPUT_LIMIT', `copyOut: the tree has more than ${what}`, {
    details: { stream: 'files', limitBytes: maxBytes, limitEntries: maxEntries },
    remedy: 'raise `maxEntries` or `maxBytes`, or leave a part of the tree out by `filter`',
  });
}

/** What comes of a tree, on its way to the host's disk. The guest sends more when it was written. */
class TreeWriting {
  readonly #worker: FileWorker;
  readonly #feed: TreeFeed;
  readonly #stream: TreeStream;
  readonly #onProgress: CopyOutOptions['onProgress'];
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #state: TreeState = { entries: 0, bytes: 0, skipped: 0, ended: false };
  #isWriting = false;
  #writing: Promise<void> | undefined;

  constructor(worker: FileWorker, feed: TreeFeed, stream: TreeStream, { onProgress }: CopyOutOptions) {
    this.#worker = worker;
    this.#feed = feed;
    this.#stream = stream;
    this.#onProgress = onProgress;
  }

  /** Copies the bytes, which stay the guest's credit until they are written. */
  push(bytes: Buffer): true {
    this.#waiting.push(Buffer.from(bytes));
    this.#waitingBytes += bytes.length;
    if (!this.#isWriting) {
      this.#isWriting = true;
      this.#writing = this.#write().catch((error: unknown) => void this.#worker.cancel(error));
    }
    return true;
  }

  async end(): Promise<TreeCopy> {
    await this.#writing;
    const { ended, ...counts } = this.#state;
    // A worker that was cancelled has told why.
    if (this.#worker.isOver && !ended) throw this.#worker.reason;
    if (!ended) throw unreachable(this.#worker.vm, 'it sent a tree that has no end');
    return counts;
  }

  async #write(): Promise<void> {
    await Promise.resolve(); // All that has come in this turn is written at once.
    while (this.#waitingBytes > 0) {
      const pieces = this.#waiting.splice(0).flatMap((piece) => this.#stream.push(piece));
      const taken = this.#waitingBytes;
      this.#waitingBytes = 0;
      if (pieces.length > 0) this.#state = await this.#feed.feed(Buffer.concat(pieces));
      this.#worker.taken(taken);
      this.#onProgress?.({ entries: this.#stream.entries, bytes: this.#stream.bytes });
    }
    this.#isWriting = false;
  }
}
