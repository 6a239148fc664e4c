import type { Frame } from './codec.js';
import { SendWindow } from './flow-control.js';
import { decodeCredit } from './messages.js';
import { FrameType, INPUT_CHANNEL, MAX_PAYLOAD, ProtocolError } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import { ScriptedInput } from './scripted-input.js';
import { Wakeups } from './wakeups.js';

export type SendFrame = (type: FrameType, stream: number, payload?: Buffer) => void;

export interface ScriptedStreamParts {
  readonly stream: number;
  readonly outputWindow: number;
  readonly send: SendFrame;
  readonly untilThawed: () => Promise<void>;
}

const DATA = { 1: FrameType.data1, 2: FrameType.data2 } as const;

/**
 * The guest's end of one byte stream, whatever it is for. Detached, its input is over and what is written
 * goes nowhere.
 */
export class ScriptedStream {
  readonly #parts: ScriptedStreamParts;
  readonly #windows: Readonly<Record<OutputChannel, SendWindow>>;
  readonly #input = new ScriptedInput((type, payload) => this.say(type, payload));
  #isOpen = true;
  /** They wait for credit, or for the end. */
  readonly #writers = new Wakeups();

  constructor(parts: ScriptedStreamParts) {
    this.#parts = parts;
    this.#windows = { 1: new SendWindow(parts.outputWindow), 2: new SendWindow(parts.outputWindow) };
  }

  /** The host sends no more, or is gone. */
  get isInputClosed(): boolean {
    return this.#input.isEnded || this.#input.isGone;
  }

  /** A frame of the host; false: it is not one of those that every stream has. */
  onFrame({ type, payload }: Frame): boolean {
    if (type === FrameType.data) {
      this.#input.receive(payload);
    } else if (type === FrameType.end) {
      this.#input.end();
    } else if (type === FrameType.credit) {
      this.#onCredit(payload);
    } else {
      return false;
    }
    return true;
  }

  /** What the host sends; ends when the host ends it, or the stream is over. */
  read(): AsyncGenerator<Buffer> {
    return this.#input.read();
  }

  /** Resolves when all of it is sent; a slow reader on the host holds it up, and so does a frozen guest. */
  async write(channel: OutputChannel, data: string | Uint8Array): Promise<void> {
    let rest =
      typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.length);
    while (rest.length > 0) {
      await this.#parts.untilThawed();
      if (!this.#isOpen) return;
      const size = Math.min(rest.length, this.#windows[channel].room, MAX_PAYLOAD);
      if (size === 0) {
        await this.#writers.wait();
        continue;
      }
      this.#windows[channel].spend(size);
      // Copied: the script may use its buffer again at once.
      this.say(DATA[channel], Buffer.from(rest.subarray(0, size)));
      rest = rest.subarray(size);
    }
  }

  say(type: FrameType, payload?: Buffer): void {
    if (this.#isOpen) this.#parts.send(type, this.#parts.stream, payload);
  }

  /** The last frame. */
  finish(type: FrameType, payload: Buffer): void {
    this.say(type, payload);
    this.detach();
  }

  /** The host listens no more. */
  detach(): void {
    this.#isOpen = false;
    this.#input.drop();
    this.#writers.wakeAll();
  }

  #onCredit(payload: Buffer): void {
    const { channel, bytes } = decodeCredit(payload);
    if (channel === INPUT_CHANNEL) throw new ProtocolError('credit for a channel of the host');
    this.#windows[channel === 1 ? 1 : 2].grant(bytes);
    this.#writers.wakeAll();
  }
}
