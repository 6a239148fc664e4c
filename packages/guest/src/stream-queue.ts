import type { NamedVm, VmRuntimeError } from '@microvm/runtime';
import type { AgentConnection, StreamHandler } from './connection.js';
import { FrameType } from './protocol.js';
import type { Loss } from './unreachable.js';

/** A stream that is still to be opened. Once it was, the frames of it are its own. */
export interface PendingStream extends StreamHandler {
  /**
   * The message of its OPEN in this version of the protocol. Throws a `VmRuntimeError` when that version
   * cannot say it.
   */
  encode(version: number): Buffer;
  onOpening(connection: AgentConnection, stream: number): void;
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
  #waiting: PendingStream[] = [];
  #session: AgentConnection | undefined;
  #isHeld = false;
  #closed: Loss | undefined;

  constructor(vm: NamedVm) {
    this.vm = vm;
  }

  /**
   * A pause or a snapshot is being made: nothing is opened until `release`, whatever becomes of the session.
   */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Nothing waits. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
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
      stream.onLost(this.#closed());
      return;
    }
    this.#waiting.push(stream);
    this.pump();
  }

  /** Takes a stream back; false when it does not wait any more. */
  remove(stream: PendingStream): boolean {
    const at = this.#waiting.indexOf(stream);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }

  /** What waits and what comes is opened in this session. */
  attach(session: AgentConnection): void {
    this.#session = session;
    this.pump();
  }

  /** The session is over. Without a hold no other one is to be expected, and what waits fails. */
  detach(session: AgentConnection, error: VmRuntimeError): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    if (!this.#isHeld) this.fail(error);
  }

  /** Fails what waits. */
  fail(error: unknown): void {
    for (const stream of this.#waiting.splice(0)) stream.onLost(error);
  }

  /** Fails what waits and what will come. */
  close(loss: Loss): void {
    this.#closed ??= loss;
    this.fail(loss());
  }

  /** Opens what can be opened. */
  pump(): void {
    while (!this.#isHeld && this.#waiting.length > 0) {
      const session = this.#session;
      if (session === undefined || session.busy !== undefined) return;
      const stream = this.#waiting.shift();
      if (stream === undefined) return;
      this.#open(session, stream);
    }
  }

  #open(session: AgentConnection, stream: PendingStream): void {
    let body: Buffer;
    try {
      body = stream.encode(session.ack.version);
    } catch (error) {
      stream.onLost(error);
      return;
    }
    const number = session.openStream(FrameType.open, body, stream);
    if (number !== undefined) stream.onOpening(session, number);
  }
}
