import type { NamedVm } from '@microvm/runtime';
import { startError } from '../exec-failure.js';
import { frameCost } from '../flow-control.js';
import { decodeCommandEnd } from '../command-messages.js';
import type { FailedMessage } from '../messages.js';
import { ProtocolError } from '../protocol.js';
import type { OutputChannel } from '../protocol.js';
import { AgentStream } from '../stream.js';
import type { StreamUser } from '../stream.js';
import type { StreamQueue } from '../stream-queue.js';
import { tooOld } from '../too-old.js';
import { unreachable } from '../unreachable.js';
import { decodeFileFailed, MessageReader } from './file-message.js';
import { encodeFiles } from './open-files.js';
import type { FileFailedMessage } from './file-message.js';
import { FILE_MESSAGE_HEAD, FileAnswer } from './file-protocol.js';

/** Who waits for the answer to one request. Its functions may throw a `ProtocolError`. */
export interface FileRequestUser {
  /** A view of DATA. True: the reader says by `FileWorker.taken` when it has taken the bytes. */
  onContent?(data: Buffer): boolean;
  /** A view of a part of a tree's messages; as `onContent`. */
  onTree?(bytes: Buffer): boolean;
  onEntries?(body: Buffer): void;
  /** A change that is watched for; as `onContent`, with the message's head. */
  onEvent?(body: Buffer): boolean;
  onDone(body: Buffer): void;
  onFailed(failure: FileFailedMessage): void;
  /** No answer will come. */
  onLost(error: unknown): void;
}

/** One file worker of the guest, over its stream: requests go in, and the answers come in their order. */
export class FileWorker implements StreamUser {
  readonly user: string;
  readonly #queue: StreamQueue;
  readonly #stream: AgentStream;
  readonly #waiting: FileRequestUser[] = [];
  readonly #reader = new MessageReader({
    onContent: (data) => this.#onContent(data),
    onTree: (bytes) => this.#onTree(bytes),
    onMessage: (type, body) => this.#onMessage(type, body),
  });
  /** Bytes of the present frame that a reader holds. */
  #held = 0;
  #end: { readonly error: unknown } | undefined;
  #onEnd: () => void = () => undefined;

  constructor(queue: StreamQueue, user: string) {
    this.#queue = queue;
    this.user = user;
    this.#stream = new AgentStream(queue, this);
  }

  get vm(): NamedVm {
    return this.#queue.vm;
  }

  /** It takes no further request. */
  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** Why it takes none. */
  get reason(): unknown {
    return this.#end?.error;
  }

  /** Calls back once, when the worker is over. */
  onceOver(onEnd: () => void): void {
    this.#onEnd = onEnd;
  }

  /** Waits for its turn to be opened. */
  start(): void {
    this.#stream.start();
  }

  /** Sends a request, or a part of one with `user` undefined. `onWritten` when more may be sent. */
  send(message: Buffer, user?: FileRequestUser, onWritten?: () => void): void {
    if (this.#end !== undefined) {
      user?.onLost(this.#end.error);
      onWritten?.();
      return;
    }
    if (user !== undefined) this.#waiting.push(user);
    this.#stream.input.write(message, () => onWritten?.());
  }

  /** A reader has taken content that `onContent` left with it. */
  taken(bytes: number): void {
    if (bytes > 0) this.#stream.taken(1, bytes);
  }

  /** Nobody asks it for anything any more: it ends when it has done what it was asked for. */
  end(): void {
    this.#stream.input.end();
  }

  /**
   * Ends it in the guest, whatever it does; who waits is told the reason. Answers false when the guest had
   * not begun it.
   */
  cancel(reason: unknown): boolean {
    const wasOpened = !this.#stream.withdraw();
    this.#finish(reason, wasOpened);
    return wasOpened;
  }

  encode(version: number): Buffer {
    if (version < 2) throw tooOld('files');
    return encodeFiles(this.user);
  }

  onOpened(): void {
    // Its process id in the guest is nothing to the caller.
  }

  onData(channel: OutputChannel, data: Buffer): void {
    if (channel !== 1) throw new ProtocolError('data of a channel that a file worker has not');
    if (this.#end === undefined) {
      this.#held = 0;
      this.#reader.push(data);
    } else {
      this.#held = 0;
    }
    this.#stream.taken(1, frameCost(data.length) - this.#held);
  }

  onEnded(payload: Buffer): void {
    decodeCommandEnd(payload);
    this.#finish(unreachable(this.vm, 'the process that does the work with files was ended in the guest'));
  }

  onFailed({ errno, step }: FailedMessage): void {
    const { user, vm } = this;
    this.#finish(startError({ vm, program: 'file worker', cwd: '/', user, errno, step }));
  }

  onLost(error: unknown): void {
    this.#finish(error);
  }

  #onContent(data: Buffer): void {
    const user = this.#waiting[0];
    if (user?.onContent === undefined) throw new ProtocolError('content that nobody asked for');
    if (user.onContent(data)) this.#held += data.length;
  }

  #onTree(bytes: Buffer): void {
    const user = this.#waiting[0];
    if (user?.onTree === undefined) throw new ProtocolError('a tree that nobody asked for');
    if (user.onTree(bytes)) this.#held += bytes.length;
  }

  #onMessage(type: number, body: Buffer): void {
    const user = this.#waiting[0];
    if (user === undefined) throw new ProtocolError('an answer that nobody waits for');
    if (type === FileAnswer.entries) {
      if (user.onEntries === undefined) throw new ProtocolError('entries that nobody asked for');
      user.onEntries(body);
    } else if (type === FileAnswer.event) {
      if (user.onEvent === undefined) throw new ProtocolError('a change that nobody watches for');
      if (user.onEvent(body)) this.#held += body.length + FILE_MESSAGE_HEAD;
    } else if (type === FileAnswer.done) {
      user.onDone(body);
      this.#waiting.shift();
    } else if (type === FileAnswer.failed) {
      const failure = decodeFileFailed(body);
      this.#waiting.shift();
      user.onFailed(failure);
    } else {
      throw new ProtocolError(`message type ${type} of a file worker`);
    }
  }

  #finish(error: unknown, isCancelled = false): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    // The guest may confirm it at once, and its word is not the reason then.
    if (isCancelled) this.#stream.cancel();
    this.#stream.close();
    for (const user of this.#waiting.splice(0)) user.onLost(error);
    this.#onEnd();
  }
}
