import { HEADER_SIZE, MAX_WINDOW, ProtocolError } from './protocol.js';

/** What a data frame takes from its channel's window: its header counts, so a flood of tiny frames is bounded too. */
export function frameCost(payloadBytes: number): number {
  return HEADER_SIZE + payloadBytes;
}

/** The receiver's side of a channel. */
export class ReceiveWindow {
  readonly #size: number;
  #left: number;
  #consumed = 0;

  constructor(size: number) {
    this.#size = size;
    this.#left = size;
  }

  /** Counts a frame that arrived; throws a `ProtocolError` when its sender had no credit for it. */
  receive(payloadBytes: number): void {
    this.#left -= frameCost(payloadBytes);
    if (payloadBytes === 0 || this.#left < 0) throw new ProtocolError('data without credit');
  }

  /** Its reader took a frame's payload. Answers the credit to send now; 0: it is not yet worth a frame. */
  consume(payloadBytes: number): number {
    this.#consumed += frameCost(payloadBytes);
    if (this.#consumed < this.#size / 4) return 0;
    const credit = this.#consumed;
    this.#consumed = 0;
    this.#left += credit;
    return credit;
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
