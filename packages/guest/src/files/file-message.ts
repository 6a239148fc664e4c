import { PayloadReader, PayloadWriter } from '../payload.js';
import { ProtocolError } from '../protocol.js';
import {
  FILE_MESSAGE_HEAD,
  FileAnswer,
  MAX_FILE_DATA,
  MAX_FILE_MESSAGE,
  TreeMessage,
} from './file-protocol.js';
import type { FileOp } from './file-protocol.js';

/** One message to a file worker. */
export function fileMessage(op: FileOp, body: PayloadWriter | Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : body.done();
  return new PayloadWriter()
    .u32(bytes.length + 1)
    .u8(op)
    .raw(bytes)
    .done();
}

/** Who takes the messages of a file worker apart from their framing. */
export interface MessageSink {
  /** A piece of DATA, a view: whoever keeps it copies it. */
  onContent(data: Buffer): void;
  /** A piece of a message of a tree, a view as well, its head among them. */
  onTree(bytes: Buffer): void;
  /** Any other message, whole. `body` is the reader's own. */
  onMessage(type: number, body: Buffer): void;
}

/**
 * Cuts what a file worker sends into messages. DATA is handed on as it comes, so that no more of it is kept
 * than its reader keeps; another message is kept until it is whole, which is `MAX_FILE_MESSAGE` at most.
 */
export class MessageReader {
  readonly #sink: MessageSink;
  #head = Buffer.alloc(0);
  #type = 0;
  #left = 0;
  #parts: Buffer[] = [];

  constructor(sink: MessageSink) {
    this.#sink = sink;
  }

  /** A worker that ended here has ended in the middle of a message. */
  get isInMessage(): boolean {
    return this.#left > 0 || this.#head.length > 0;
  }

  /** Throws a `ProtocolError`. */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) rest = this.#takeHead(rest);
      else rest = this.#takeBody(rest);
    }
  }

  #takeHead(chunk: Buffer): Buffer {
    const missing = FILE_MESSAGE_HEAD - this.#head.length;
    const head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk.subarray(0, missing)]);
    if (head.length < FILE_MESSAGE_HEAD) {
      this.#head = Buffer.from(head);
      return chunk.subarray(chunk.length);
    }
    const length = head.readUInt32LE(0);
    this.#type = head.readUInt8(4);
    this.#head = Buffer.alloc(0);
    if (length < 1 || length > MAX_FILE_MESSAGE) throw new ProtocolError(`a message of ${length} bytes`);
    this.#left = length - 1;
    if (this.#type === FileAnswer.data && (length < 2 || length > MAX_FILE_DATA + 1))
      throw new ProtocolError('content of no or too many bytes');
    if (isOfTree(this.#type)) this.#sink.onTree(head.subarray(0, FILE_MESSAGE_HEAD));
    else if (this.#left === 0) this.#sink.onMessage(this.#type, Buffer.alloc(0));
    return chunk.subarray(missing);
  }

  #takeBody(chunk: Buffer): Buffer {
    const piece = chunk.subarray(0, this.#left);
    this.#left -= piece.length;
    if (this.#type === FileAnswer.data) {
      this.#sink.onContent(piece);
    } else if (isOfTree(this.#type)) {
      this.#sink.onTree(piece);
    } else {
      this.#parts.push(Buffer.from(piece));
      if (this.#left === 0) this.#sink.onMessage(this.#type, Buffer.concat(this.#parts.splice(0)));
    }
    return chunk.subarray(piece.length);
  }
}

function isOfTree(type: number): boolean {
  return type >= TreeMessage.entry && type <= TreeMessage.end;
}

/** What a file worker says of a request that failed. */
export interface FileFailedMessage {
  readonly errno: number;
  readonly syscall: string;
  /** Empty: the request's own. */
  readonly path: Buffer;
}

const MAX_SYSCALL_BYTES = 32;
const MAX_ERRNO = 4_095;

export function encodeFileFailed({ errno, syscall, path }: FileFailedMessage): Buffer {
  return new PayloadWriter().u16(errno).text(syscall).blob(path).done();
}

export function decodeFileFailed(body: Buffer): FileFailedMessage {
  const input = new PayloadReader(body);
  const errno = input.u16();
  const syscall = input.text(MAX_SYSCALL_BYTES);
  const path = input.blob(4_095);
  input.end();
  if (errno < 1 || errno > MAX_ERRNO) throw new ProtocolError('errno out of range');
  if (!/^[a-z0-9_]+$/.test(syscall)) throw new ProtocolError('a system call without a name');
  if (path.includes(0)) throw new ProtocolError('NUL in a path');
  return { errno, syscall, path: Buffer.from(path) };
}
