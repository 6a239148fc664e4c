import type { Frame } from './codec.js';
import { decodeAck } from './command-messages.js';
import type { AttachedMessage, AttachMessage } from './command-messages.js';
import { SendWindow } from './flow-control.js';
import { decodeCredit } from './messages.js';
import { FrameType, INPUT_CHANNEL, INPUT_WINDOW, MAX_PAYLOAD, ProtocolError } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import { ScriptedInput } from './scripted-input.js';
import { ScriptedRing } from './scripted-ring.js';
import type { SendFrame } from './scripted-stream.js';
import { Wakeups } from './wakeups.js';

const DATA = { 1: FrameType.data1, 2: FrameType.data2 } as const;
const CHANNELS = [1, 2] as const;

interface Output {
  readonly ring: ScriptedRing;
  window: SendWindow;
  sent: number;
  acknowledged: number;
}

/** The stream of the host by which a command is read. */
export interface Link {
  readonly stream: number;
  readonly send: SendFrame;
}

export interface CommandIoParts {
  readonly outputWindow: number;
  /** A reader is there from the beginning. */
  readonly isRead: boolean;
  /** What is sent counts as received when the host says so; else at once. */
  readonly isAcknowledged: boolean;
  readonly untilThawed: () => Promise<void>;
}

/** Input and outputs of a scripted command, which outlive the streams of its readers. */
export class CommandIo {
  readonly #untilThawed: () => Promise<void>;
  readonly #isAcknowledged: boolean;
  readonly #outputs: Readonly<Record<OutputChannel, Output>>;
  readonly #input = new ScriptedInput((type, payload) => this.say(type, payload));
  #link: Link | undefined;
  /** A reader of the outputs is there, or is expected. */
  #isRead: boolean;
  #isOver = false;
  /** They wait for room in a ring, for credit, or for the end. */
  readonly #writers = new Wakeups();

  constructor(link: Link, parts: CommandIoParts) {
    const { outputWindow, isRead, isAcknowledged, untilThawed } = parts;
    const output = (): Output => ({
      ring: new ScriptedRing(),
      window: new SendWindow(isRead ? outputWindow : 0),
      sent: 0,
      acknowledged: 0,
    });
    this.#outputs = { 1: output(), 2: output() };
    this.#link = link;
    this.#isRead = isRead;
    this.#isAcknowledged = isAcknowledged;
    this.#untilThawed = untilThawed;
  }

  get link(): Link | undefined {
    return this.#link;
  }

  get isRead(): boolean {
    return this.#isRead;
  }

  /** The reader that is there has got all there is. */
  get isAllSent(): boolean {
    return CHANNELS.every((channel) => this.#outputs[channel].sent === this.#outputs[channel].ring.end);
  }

  get kept(): Readonly<Record<OutputChannel, { readonly first: number; readonly end: number }>> {
    const range = ({ ring: { first, end } }: Output) => ({ first, end });
    return { 1: range(this.#outputs[1]), 2: range(this.#outputs[2]) };
  }

  get inputFlags(): Pick<AttachedMessage, 'isInputEnded' | 'isInputGone'> {
    const { isEnded, isGone } = this.#input;
    return { isInputEnded: isEnded, isInputGone: isGone && !isEnded };
  }

  /** Undefined: `message` asks for bytes behind the end. */
  attach(link: Link, message: AttachMessage): Omit<AttachedMessage, 'pid' | 'isDetached'> | undefined {
    const { channels, isInputOnly } = message;
    const isBehind = CHANNELS.some((channel) => channels[channel].offset > this.#outputs[channel].ring.end);
    if (isBehind && !isInputOnly) return undefined;
    this.#link = link;
    this.#isRead = !isInputOnly;
    for (const channel of CHANNELS) {
      const output = this.#outputs[channel];
      output.sent = isInputOnly ? output.ring.end : Math.max(channels[channel].offset, output.ring.first);
      output.acknowledged = output.sent;
      output.window = new SendWindow(isInputOnly ? 0 : channels[channel].credit);
    }
    const inUse = this.#input.reopen();
    return {
      ...this.inputFlags,
      hasTerminal: false,
      hasReader: true,
      inputTaken: this.#input.taken,
      inputCredit: Math.max(0, INPUT_WINDOW - inUse),
      begin: { 1: this.#outputs[1].sent, 2: this.#outputs[2].sent },
    };
  }

  /** What the reader has not got is sent, as far as its credit goes. */
  pump(): void {
    if (!this.#isRead || this.#link === undefined) return;
    for (const channel of CHANNELS) {
      const output = this.#outputs[channel];
      for (;;) {
        const data = output.ring.read(output.sent, Math.min(output.window.room, MAX_PAYLOAD));
        if (data.length === 0) break;
        output.window.spend(data.length);
        output.sent += data.length;
        if (!this.#isAcknowledged) output.acknowledged = output.sent;
        this.say(DATA[channel], data);
      }
    }
    this.#writers.wakeAll();
  }

  /** The stream is gone, and its reader may come back. */
  release(): void {
    this.#link = undefined;
  }

  /** Nobody reads: the rings overwrite their oldest bytes. */
  leave(): void {
    this.#isRead = false;
    this.#writers.wakeAll();
  }

  endInput(): void {
    this.#input.drop();
  }

  /** The command has ended: nothing more is written or read. */
  close(): void {
    this.#isOver = true;
    this.endInput();
    this.#writers.wakeAll();
  }

  /** A frame of the host; false: it is not one of input and output. */
  onFrame({ type, payload }: Frame): boolean {
    if (type === FrameType.data) this.#input.receive(payload);
    else if (type === FrameType.end) this.#input.end();
    else if (type === FrameType.credit) this.#onCredit(payload);
    else if (type === FrameType.ack) this.#onAck(payload);
    else return false;
    this.#writers.wakeAll();
    return true;
  }

  /** What the host sends; ends when the host ends it, or the command is over. */
  read(): AsyncGenerator<Buffer> {
    return this.#input.read();
  }

  /** Resolves when the guest has all of it. A slow reader on the host holds it up, and so does a freeze. */
  async write(channel: OutputChannel, data: string | Uint8Array): Promise<void> {
    let rest =
      typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.length);
    const output = this.#outputs[channel];
    while (rest.length > 0) {
      await this.#untilThawed();
      if (this.#isOver) return;
      const room = this.#isRead ? output.ring.roomBehind(output.acknowledged) : rest.length;
      if (room <= 0) {
        await this.#writers.wait();
        continue;
      }
      const size = Math.min(rest.length, room, MAX_PAYLOAD);
      output.ring.push(rest.subarray(0, size));
      rest = rest.subarray(size);
      this.pump();
    }
  }

  say(type: FrameType, payload?: Buffer): void {
    this.#link?.send(type, this.#link.stream, payload);
  }

  #onCredit(payload: Buffer): void {
    const { channel, bytes } = decodeCredit(payload);
    if (channel === INPUT_CHANNEL) throw new ProtocolError('credit for a channel of the host');
    this.#outputs[channel === 1 ? 1 : 2].window.grant(bytes);
  }

  #onAck(payload: Buffer): void {
    const { channel, offset } = decodeAck(payload);
    const output = this.#outputs[channel];
    if (offset > output.sent) throw new ProtocolError('ACK of what was not sent');
    output.acknowledged = Math.max(output.acknowledged, offset);
  }
}
