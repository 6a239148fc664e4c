import type { NamedVm, VmRuntimeError } from '@microvm/runtime';
import type { AgentConnection, StreamHandler } from './connection.js';
import { FrameType } from './protocol.js';
import type { Loss } from './unreachable.js';

const SHORT_SESSION_MS = 1_000;
const LONGEST_PAUSE_MS = 1_000;

/** A stream that is still to be opened. Once it was, the frames of it are its own. */
export interface PendingStream extends StreamHandler {
  /**
   * The message of its OPEN in this version of the protocol. Throws a `VmRuntimeError` when that version
   * cannot say it.
   */
  encode(version: number): Buffer;
  onOpening(connection: AgentConnection): void;
}

/**
 * Streams that wait until their guest can open them, in the order in which they were asked for. The guest
 * cannot while it is held for a pause or a snapshot, while it has as many open as it takes at once, and while
 * it does not read. A queue may outlive its session: what waits while the guest is held is opened in the
 * session that follows.
 */
export class StreamQueue {
  readonly vm: NamedVm;
  /** What the VM's own environment takes, which every command gets, as the agent was told last. */
  environmentBytes = 0;
  readonly #onWanted: (() => void) | undefined;
  /** Those that were open in a session that was lost, in the order in which they were opened. */
  #returning: PendingStream[] = [];
  #waiting: PendingStream[] = [];
  #session: AgentConnection | undefined;
  #isHeld = false;
  #closed: Loss | undefined;
  #attachedAt = 0;
  #pauseMs = 0;
  #wanting: NodeJS.Timeout | undefined;

  /**
   * `onWanted` is called when something waits and the session is lost: whoever gives it opens another one, or
   * fails what waits.
   */
  constructor(vm: NamedVm, onWanted?: () => void) {
    this.vm = vm;
    this.#onWanted = onWanted;
  }

  /**
   * A pause or a snapshot is being made: nothing is opened until `release`, whatever becomes of the session.
   */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Nothing waits. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#returning.length === 0;
  }

  /** What is open in a session that ends by no fault of the guest's can go on in the next one. */
  get outlivesSessions(): boolean {
    return this.#onWanted !== undefined && this.#closed === undefined;
  }

  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.pump();
  }

  /** What is added now is opened at once. */
  get isReady(): boolean {
    return !this.#isHeld && this.#session !== undefined && this.#session.busy === undefined;
  }

  /** Why what waits was not opened. */
  get reason(): string {
    return this.#isHeld
      ? 'its workload is frozen for a pause or a snapshot'
      : (this.#session?.busy ?? 'it has no session');
  }

  add(stream: PendingStream): void {
    if (this.#closed !== undefined) {
      stream.onLost(this.#closed(), false);
      return;
    }
    this.#waiting.push(stream);
    this.pump();
  }

  /** Adds a stream whose session was lost; it is opened in the one that follows. */
  addFirst(stream: PendingStream): void {
    if (this.#closed === undefined) this.#returning.push(stream);
    else stream.onLost(this.#closed(), false);
  }

  /** Takes a stream back; false when it does not wait any more. */
  remove(stream: PendingStream): boolean {
    for (const streams of [this.#returning, this.#waiting]) {
      const at = streams.indexOf(stream);
      if (at < 0) continue;
      streams.splice(at, 1);
      return true;
    }
    return false;
  }

  /** What waits and what comes is opened in this session. */
  attach(session: AgentConnection): void {
    this.#session = session;
    this.#attachedAt = performance.now();
    this.pump();
  }

  /**
   * The session is over. Without a hold, and where none is to follow, what waits fails. `mayReturn`: no fault
   * of the guest's has ended it.
   */
  detach(session: AgentConnection, error: VmRuntimeError, mayReturn: boolean): void {
    // A newer session has taken its place already: what was open in this one goes on there.
    if (this.#session !== session) {
      this.pump();
      return;
    }
    this.#session = undefined;
    if (this.#isHeld) return;
    if (!mayReturn || this.#onWanted === undefined) this.fail(error);
    else this.#wantLater();
  }

  /** A guest that cuts each session at once is asked for the next one less and less often. */
  #wantLater(): void {
    const isShort = performance.now() - this.#attachedAt < SHORT_SESSION_MS;
    this.#pauseMs = isShort ? Math.min(LONGEST_PAUSE_MS, Math.max(1, this.#pauseMs * 2)) : 0;
    clearTimeout(this.#wanting);
    this.#wanting = setTimeout(() => {
      if (this.#session === undefined && !this.isEmpty && this.#closed === undefined) this.#onWanted?.();
    }, this.#pauseMs);
  }

  /** Fails what waits. */
  fail(error: unknown): void {
    const waiting = [...this.#returning.splice(0), ...this.#waiting.splice(0)];
    for (const stream of waiting) stream.onLost(error, false);
  }

  /** Fails what waits and what will come. */
  close(loss: Loss): void {
    this.#closed ??= loss;
    clearTimeout(this.#wanting);
    this.fail(loss());
  }

  /** Opens what can be opened. */
  pump(): void {
    while (!this.#isHeld && !this.isEmpty) {
      const session = this.#session;
      if (session === undefined || session.busy !== undefined) return;
      const stream = this.#returning.shift() ?? this.#waiting.shift();
      if (stream === undefined) return;
      this.#open(session, stream);
    }
  }

  #open(session: AgentConnection, stream: PendingStream): void {
    let body: Buffer;
    try {
      body = stream.encode(session.ack.version);
    } catch (error) {
      stream.onLost(error, false);
      return;
    }
    const number = session.openStream(FrameType.open, body, stream);
    if (number !== undefined) stream.onOpening(session);
    else this.addFirst(stream);
  }
}
