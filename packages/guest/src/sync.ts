import { PREAMBLE, SESSION_ID_SIZE } from './protocol.js';

const EMPTY = Buffer.alloc(0);

/** The mark with which a session begins in each direction. */
export function encodeMark(session: Buffer): Buffer {
  return Buffer.concat([PREAMBLE, session]);
}

/** Skips bytes up to a needle, which may lie across chunks. */
export class Scanner {
  readonly #needle: Buffer;
  #tail: Buffer = EMPTY;

  constructor(needle: Buffer) {
    this.#needle = needle;
  }

  /** What follows the needle; undefined as long as it was not seen. */
  push(chunk: Buffer): Buffer | undefined {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const at = bytes.indexOf(this.#needle);
    if (at >= 0) {
      this.#tail = EMPTY;
      return bytes.subarray(at + this.#needle.length);
    }
    // Copied: a few bytes must not keep the whole chunk alive.
    this.#tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - this.#needle.length + 1)));
    return undefined;
  }
}

/** Looks for any session's mark, as the agent does. */
export class MarkScanner {
  #scanner = new Scanner(PREAMBLE);
  #after: Buffer | undefined;

  push(chunk: Buffer): { readonly session: Buffer; readonly rest: Buffer } | undefined {
    this.#after = this.#after === undefined ? this.#scanner.push(chunk) : Buffer.concat([this.#after, chunk]);
    if (this.#after === undefined || this.#after.length < SESSION_ID_SIZE) return undefined;
    const session = Buffer.from(this.#after.subarray(0, SESSION_ID_SIZE));
    const rest = this.#after.subarray(SESSION_ID_SIZE);
    this.#after = undefined;
    this.#scanner = new Scanner(PREAMBLE);
    return { session, rest };
  }
}
