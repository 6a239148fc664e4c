import { decodeAttached, decodeCommandEnd, encodeAck, encodeAttach } from './command-messages.js';
import type { AttachedMessage, ExitMessage } from './command-messages.js';
import { frameCost } from './flow-control.js';
import type { FailedMessage } from './messages.js';
import { FrameType, OUTPUT_WINDOW, ProtocolError } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import { AgentStream } from './stream.js';
import type { StreamUser } from './stream.js';
import { StreamInput } from './stream-input.js';
import type { StreamQueue } from './stream-queue.js';
import { tooOld } from './too-old.js';
import { unreachable } from './unreachable.js';
import { Wakeups } from './wakeups.js';

/**
 * A guest keeps what a lost reader has not got for a minute at least. Within half of it, a guest that does
 * not know a command has never started it.
 */
const SURELY_KEPT_MS = 30_000;
/** A reader that has all that came acknowledges it when it is as much as this. */
const ACKNOWLEDGED_BYTES = 2_048;

/** What is made of the frames of a command, whichever session they come in. */
export interface CommandUser {
  /** The OPEN that starts it; see `PendingStream`. Undefined: it was started already. */
  readonly encodeStart?: (version: number) => Buffer;
  /** The OPEN of this session is on its way. */
  onSent?(): void;
  onOpened(): void;
  /** `data` is a view. Its cost is told to `taken` when its reader has it. */
  onData(channel: OutputChannel, data: Buffer): void;
  /** Bytes of an output will never come: the ring of the guest was overrun. */
  onMissing(channel: OutputChannel, bytes: number): void;
  onEnded(exit: ExitMessage): void;
  onDetached(): void;
  onFailed(failure: FailedMessage): void;
  onLost(error: unknown): void;
}

/** Which command it is, and what is read of it. */
export interface CommandStreamOptions {
  readonly id: string;
  readonly isInputOnly?: boolean;
  /** The first bytes that the reader wants. */
  readonly from?: Readonly<Record<OutputChannel, number>>;
}

/**
 * The host's end of one command over any number of sessions: when a session is lost, it goes on in the next
 * one where it stood, with nothing lost and nothing twice in either direction.
 */
export class CommandStream implements StreamUser {
  readonly input: StreamInput;
  readonly #queue: StreamQueue;
  readonly #user: CommandUser;
  readonly #options: CommandStreamOptions;
  #stream: AgentStream;
  /** What the present stream opens. */
  #kind: 'start' | 'attach';
  /** The OPEN of the present stream was sent, and was answered. */
  #isSent = false;
  #isOpen = false;
  /** Of the command: it may have been started, and it was. */
  #mayRun = false;
  #wasOpened = false;
  #isLeaving = false;
  #isDetachSent = false;
  #isCancelled = false;
  #isOver = false;
  readonly #received: { 1: number; 2: number };
  readonly #held = { 1: 0, 2: 0 };
  readonly #acknowledged: { 1: number; 2: number };
  #lostAt = -Infinity;
  readonly #readers = new Wakeups();

  constructor(queue: StreamQueue, user: CommandUser, options: CommandStreamOptions) {
    this.#queue = queue;
    this.#user = user;
    this.#options = options;
    this.input = new StreamInput({ keepsUnconfirmed: true, onIdle: () => this.#detachIfDue() });
    this.#kind = user.encodeStart === undefined ? 'attach' : 'start';
    this.#received = { ...(options.from ?? { 1: 0, 2: 0 }) };
    this.#acknowledged = { ...this.#received };
    this.#stream = this.#nextStream();
  }

  start(): void {
    this.#stream.start();
  }

  /** Takes it back; false when the guest may know of it. */
  withdraw(): boolean {
    return !this.#mayRun && this.#stream.withdraw();
  }

  /** The guest may have started the command. */
  get mayRun(): boolean {
    return this.#mayRun;
  }

  /** Its agent lets a reader go. */
  get canBeLeft(): boolean {
    const { opened } = this.#stream;
    return opened === undefined || opened.connection.ack.version > 1;
  }

  /** Where it is open now; waits while it is between two sessions. Undefined: it is over. */
  async opened(): Promise<AgentStream['opened']> {
    while (!this.#isOver && this.#stream.opened === undefined) {
      await this.#readers.wait();
    }
    return this.#isOver ? undefined : this.#stream.opened;
  }

  /** A reader has what frames of this cost brought, up to the offset. */
  taken(channel: OutputChannel, cost: number, offset: number): void {
    this.#held[channel] -= cost;
    const isCredited = this.#stream.taken(channel, cost);
    const bytes = offset - this.#acknowledged[channel];
    // Not with credit alone: the guest may have room for less than what a window counts as worth a frame.
    const isDue = isCredited || (this.#held[channel] === 0 && bytes >= ACKNOWLEDGED_BYTES);
    if (!isDue || bytes <= 0 || !this.#isOpen || !this.#hasRing()) return;
    this.#acknowledged[channel] = offset;
    this.#stream.send(FrameType.ack, encodeAck(channel, offset));
  }

  /** Gives the command up, which ends it. */
  cancel(): void {
    this.#isCancelled = true;
    if (this.#isSent) this.#stream.cancel();
  }

  /** Leaves the command to itself: `onDetached` follows. */
  leave(): void {
    if (this.#isLeaving || this.#isOver) return;
    this.#isLeaving = true;
    this.#detachIfDue();
  }

  send(type: FrameType, payload?: Buffer): void {
    if (this.#isSent) this.#stream.send(type, payload);
  }

  /**
   * Nobody uses it any more. A command that was given up, or left, between two sessions learns of it in the
   * next one.
   */
  close(): void {
    this.input.gone();
    const isToldLater = (this.#isCancelled || this.#isLeaving) && this.#mayRun && !this.#isSent;
    if (isToldLater && !this.#isOver) return;
    this.#end();
    this.#stream.withdraw();
    this.#stream.close();
  }

  encode(version: number): Buffer {
    if (this.#kind === 'start' && this.#user.encodeStart !== undefined)
      return this.#user.encodeStart(version);
    if (version < 2) throw tooOld('attach');
    const { id, isInputOnly = false } = this.#options;
    const channel = (number: OutputChannel) => ({
      offset: isInputOnly ? 0 : this.#received[number],
      credit: isInputOnly ? 0 : Math.max(0, OUTPUT_WINDOW - this.#held[number]),
    });
    return encodeAttach({ id, isInputOnly, channels: { 1: channel(1), 2: channel(2) } });
  }

  onOpening(): void {
    this.#isSent = true;
    this.#mayRun = true;
    this.#readers.wakeAll();
    this.#user.onSent?.();
    // The guest knows of a command as soon as it has read its OPEN: what is sent now finds it.
    if (this.#isCancelled) this.#stream.cancel();
  }

  onOpened(payload: Buffer): void {
    const { opened } = this.#stream;
    const attached = this.#kind === 'attach' ? decodeAttached(payload) : undefined;
    if (attached !== undefined && opened !== undefined) {
      this.#isOpen = true;
      this.#goOn(attached, opened.connection.ack.inputWindow);
    }
    this.#isOpen = true;
    this.#wasOpened = true;
    this.#user.onOpened();
    this.#detachIfDue();
  }

  onData(channel: OutputChannel, data: Buffer): void {
    if (this.#options.isInputOnly === true || (this.#kind === 'attach' && !this.#isOpen)) {
      throw new ProtocolError('data that nobody has asked for');
    }
    this.#received[channel] += data.length;
    this.#held[channel] += frameCost(data.length);
    this.#user.onData(channel, data);
  }

  onEnded(payload: Buffer): void {
    const end = decodeCommandEnd(payload);
    if (end === 'detached') {
      if (!this.#isLeaving) throw new ProtocolError('a reader was detached that did not ask for it');
      this.#end();
      this.#user.onDetached();
      return;
    }
    if (this.#options.isInputOnly === true && !this.#isCancelled) {
      throw new ProtocolError('the end of a command whose output was not read');
    }
    this.#end();
    this.#user.onEnded(end);
  }

  /** The reader has all of the output and knows of the end: the guest need not keep it any longer. */
  confirm(): void {
    const { opened } = this.#stream;
    if (this.#hasRing()) opened?.connection.send(FrameType.detach, opened.number);
  }

  onFailed(failure: FailedMessage): void {
    const isUnknown = this.#kind === 'attach' && failure.step === 'attach' && failure.errno === 'ESRCH';
    if (isUnknown && this.#user.encodeStart !== undefined) {
      const hadEffect = this.#wasOpened || this.input.confirmed > 0;
      if (!hadEffect && !this.#isCancelled && performance.now() - this.#lostAt < SURELY_KEPT_MS) {
        this.#kind = 'start';
        this.#mayRun = false;
        this.#again();
        return;
      }
      this.#end();
      const reason = 'the command is not there any more: the guest has booted anew, or has not kept its end';
      this.#user.onLost(unreachable(this.#queue.vm, reason));
      return;
    }
    this.#end();
    this.#user.onFailed(failure);
  }

  onLost(error: unknown, mayReturn: boolean): void {
    if (this.#isOver) return;
    if (!mayReturn || !this.#queue.outlivesSessions || !this.#hasRing()) {
      this.#end();
      this.#user.onLost(error);
      return;
    }
    this.#lostAt = performance.now();
    // What was sent may have arrived or not: the guest says which.
    if (this.#isSent) this.#kind = 'attach';
    this.#again();
  }

  #again(): void {
    this.input.suspend();
    this.#stream.leave();
    this.#isSent = false;
    this.#isOpen = false;
    this.#isDetachSent = false;
    this.#stream = this.#nextStream();
    this.#stream.startAgain();
  }

  #nextStream(): AgentStream {
    const opensInput = this.#kind === 'start';
    return new AgentStream(this.#queue, this, { input: this.input, opensInput, held: this.#held });
  }

  #goOn(attached: AttachedMessage, window: number): void {
    const { begin, inputTaken, inputCredit, isInputEnded, isInputGone } = attached;
    for (const channel of [1, 2] as const) {
      if (this.#options.isInputOnly === true) break;
      this.#acknowledged[channel] = begin[channel];
      const bytes = begin[channel] - this.#received[channel];
      if (bytes < 0) throw new ProtocolError('output that came already comes again');
      if (bytes === 0) continue;
      this.#received[channel] = begin[channel];
      this.#user.onMissing(channel, bytes);
    }
    const isNewcomer = this.#user.encodeStart === undefined && !this.#wasOpened;
    if (isInputGone || (isNewcomer && isInputEnded)) {
      this.input.gone();
      return;
    }
    if (isNewcomer) this.input.beginAt(inputTaken);
    const inUse = Math.max(0, window - inputCredit);
    this.#stream.openInput(inputCredit, { taken: inputTaken, isEnded: isInputEnded, inUse });
  }

  /** A reader leaves at once. Whoever has only input to give leaves behind the last of it. */
  #detachIfDue(): void {
    if (!this.#isLeaving || !this.#isOpen || this.#isDetachSent) return;
    if (this.#options.isInputOnly === true && !this.input.isIdle) return;
    this.#isDetachSent = true;
    this.#stream.send(FrameType.detach);
  }

  /** Its agent keeps what was not acknowledged. */
  #hasRing(): boolean {
    const { opened } = this.#stream;
    return opened !== undefined && opened.connection.ack.version > 1;
  }

  #end(): void {
    this.#isOver = true;
    this.#readers.wakeAll();
  }
}
