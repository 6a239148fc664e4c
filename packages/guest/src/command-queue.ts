import type { NamedVm, VmRuntimeError } from '@microvm/runtime';
import type { AgentConnection, StreamHandler } from './connection.js';
import { FrameType } from './protocol.js';
import type { Loss } from './unreachable.js';

/** A command that is still to be started. Once it was, the frames of its stream are its own. */
export interface PendingCommand extends StreamHandler {
  /** The message EXEC. */
  readonly body: Buffer;
  onOpened(connection: AgentConnection, stream: number): void;
}

/**
 * Commands that wait until their guest can start them, in the order in which they were asked for. The guest
 * cannot while it is held for a pause or a snapshot, while it runs as many commands as it takes at once, and
 * while it does not read. A queue may outlive its session: what waits while the guest is held is started in
 * the session that follows.
 */
export class CommandQueue {
  readonly vm: NamedVm;
  #waiting: PendingCommand[] = [];
  #session: AgentConnection | undefined;
  #isHeld = false;
  #closed: Loss | undefined;

  constructor(vm: NamedVm) {
    this.vm = vm;
  }

  /**
   * A pause or a snapshot is being made: nothing is started until `release`, whatever becomes of the session.
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

  /** Why what waits was not started. */
  get reason(): string {
    return this.#isHeld
      ? 'its workload is frozen for a pause or a snapshot'
      : (this.#session?.busy ?? 'it has no session');
  }

  add(command: PendingCommand): void {
    if (this.#closed !== undefined) {
      command.onLost(this.#closed());
      return;
    }
    this.#waiting.push(command);
    this.pump();
  }

  /** Takes a command back; false when it does not wait any more. */
  remove(command: PendingCommand): boolean {
    const at = this.#waiting.indexOf(command);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }

  /** What waits and what comes is started in this session. */
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
    for (const command of this.#waiting.splice(0)) command.onLost(error);
  }

  /** Fails what waits and what will come. */
  close(loss: Loss): void {
    this.#closed ??= loss;
    this.fail(loss());
  }

  /** Starts what can be started. */
  pump(): void {
    while (!this.#isHeld && this.#waiting.length > 0) {
      const session = this.#session;
      if (session === undefined || session.busy !== undefined) return;
      const command = this.#waiting.shift();
      if (command === undefined) return;
      const stream = session.openStream(FrameType.exec, command.body, command);
      if (stream === undefined) return;
      command.onOpened(session, stream);
    }
  }
}
