import { HEADER_SIZE, MAX_WINDOW, ProtocolError } from './protocol.js';

/** A window grows up to this. */
const LARGEST_GROWN_WINDOW = 256 * 1024;
/** The outputs of one session may grow by this together. */
const SESSION_GROWTH = 4 << 20;

/**
 * What a data frame takes from its channel's window. The header counts, which bounds a flood of tiny frames
 * too.
 */
export function frameCost(payloadBytes: number): number {
  return HEADER_SIZE + payloadBytes;
}

/**
 * What the output windows of one session may grow by together, so that a guest with many commands cannot fill
 * the host.
 */
export class GrowthBudget {
  #left = SESSION_GROWTH;

  /** Answers how much of `wanted` may be had: all of it or nothing. */
  take(wanted: number): number {
    if (wanted > this.#left) return 0;
    this.#left -= wanted;
    return wanted;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

/**
 * The receiver's side of a channel. With a budget the window doubles, out of the budget, while its reader
 * keeps up.
 */
export class ReceiveWindow {
  readonly #firstSize: number;
  readonly #growth: GrowthBudget | undefined;
  #size: number;
  #left: number;
  #consumed = 0;
  /** What is held beyond the window, as an earlier window was larger: taking it gives no credit. */
  #excess: number;

  /** `held` is the cost of what waits for the reader already, of an earlier window. */
  constructor(
    size: number,
    { growth, held = 0 }: { readonly growth?: GrowthBudget; readonly held?: number } = {},
  ) {
    this.#firstSize = size;
    this.#growth = growth;
    this.#size = size;
    this.#left = Math.max(0, size - held);
    this.#excess = Math.max(0, held - size);
  }

  /** Counts a frame that arrived; throws a `ProtocolError` when its sender had no credit for it. */
  receive(payloadBytes: number): void {
    this.#left -= frameCost(payloadBytes);
    if (payloadBytes === 0 || this.#left < 0) throw new ProtocolError('data without credit');
  }

  /**
   * The reader took what had this cost. Answers the credit to send now; 0 while it is not yet worth a frame.
   */
  consume(cost: number): number {
    const beyond = Math.min(this.#excess, cost);
    this.#excess -= beyond;
    this.#consumed += cost - beyond;
    if (this.#consumed < this.#size / 4) return 0;
    const grown = this.#size < LARGEST_GROWN_WINDOW ? (this.#growth?.take(this.#size) ?? 0) : 0;
    const credit = this.#consumed + grown;
    this.#size += grown;
    this.#consumed = 0;
    this.#left += credit;
    return credit;
  }

  /** Gives back what the window has grown by. The channel is over: the window is not used any more. */
  close(): void {
    this.#growth?.giveBack(this.#size - this.#firstSize);
    this.#size = this.#firstSize;
  }
}

/** The sender's side of a channel. */
export class SendWindow {
  #credit: number;

  constructor(size: number) {
    this.#credit = size;
  }

  /** Bytes that the next frame's payload may have; 0: wait for credit. */
  get room(): number {
    return Math.max(0, this.#credit - HEADER_SIZE);
  }

  spend(payloadBytes: number): void {
    this.#credit -= frameCost(payloadBytes);
  }

  grant(credit: number): void {
    this.#credit += credit;
    if (this.#credit > MAX_WINDOW) throw new ProtocolError('credit overflows the window');
  }
}
