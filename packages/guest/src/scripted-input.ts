import { frameCost, ReceiveWindow } from './flow-control.js';
import { encodeCredit } from './messages.js';
import { FrameType, INPUT_CHANNEL, INPUT_WINDOW, ProtocolError } from './protocol.js';
import { Wakeups } from './wakeups.js';

/** What the host sends to a scripted guest on one stream, until the guest reads it. */
export class ScriptedInput {
  readonly #say: (type: FrameType, payload: Buffer) => void;
  readonly #chunks: Buffer[] = [];
  readonly #readers = new Wakeups();
  #window = new ReceiveWindow(INPUT_WINDOW);
  #taken = 0;
  #isEnded = false;
  #isGone = false;

  constructor(say: (type: FrameType, payload: Buffer) => void) {
    this.#say = say;
  }

  /** Bytes that came. */
  get taken(): number {
    return this.#taken;
  }

  /** The host has said that it sends no more. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Nobody in the guest reads it any more, or the host is gone. */
  get isGone(): boolean {
    return this.#isGone;
  }

  receive(payload: Buffer): void {
    this.#window.receive(payload.length);
    if (this.#isEnded) throw new ProtocolError('DATA after its end');
    this.#taken += payload.length;
    if (!this.#isGone) this.#chunks.push(Buffer.from(payload));
    this.#readers.wakeAll();
  }

  end(): void {
    this.#isEnded = true;
    this.#readers.wakeAll();
  }

  drop(): void {
    this.#isGone = true;
    this.#readers.wakeAll();
  }

  /** Another stream of the host goes on with it: answers what of the window is in use. */
  reopen(): number {
    const inUse = this.#chunks.reduce((sum, { length }) => sum + frameCost(length), 0);
    this.#window = new ReceiveWindow(INPUT_WINDOW, { held: inUse });
    return inUse;
  }

  /** What the host sends; ends with what came before its end, or before it was dropped. */
  async *read(): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        const credit = this.#window.consume(frameCost(chunk.length));
        if (credit > 0) this.#say(FrameType.creditToHost, encodeCredit(INPUT_CHANNEL, credit));
        yield chunk;
      } else if (this.#isEnded || this.#isGone) {
        return;
      } else {
        await this.#readers.wait();
      }
    }
  }
}
