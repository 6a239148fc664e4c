import type { DetachedCommand, DetachedExecRequest, ExecRequest, Guest } from '@microvm/runtime';
import type { ExitMessage } from './command-messages.js';
import { openingOf } from './command-opening.js';
import type { CommandOpening } from './command-opening.js';
import { CommandStream } from './command-stream.js';
import type { CommandUser } from './command-stream.js';
import { watchDeadline } from './deadline.js';
import { startError } from './exec-failure.js';
import type { FailedMessage } from './messages.js';
import { ProtocolError } from './protocol.js';
import type { StreamQueue } from './stream-queue.js';

/** After a cancel: how long the guest has to confirm. */
const CANCEL_CONFIRM_MS = 2_000;

/** What a handle of a command needs of its guest. */
export type CommandReach = Pick<Guest, 'attach' | 'kill'>;

export function isDetached(request: ExecRequest | DetachedExecRequest): request is DetachedExecRequest {
  return 'detached' in request && request.detached === true;
}

/**
 * Starts a command that nobody reads yet. Resolves when it runs and the guest has all of its `input`. Throws
 * `MICROVM_INVALID_ARGUMENT` at once.
 */
export function startDetached(
  queue: StreamQueue,
  request: DetachedExecRequest,
  reach: CommandReach,
): Promise<DetachedCommand> {
  const opening = openingOf(request, { isDetached: true, environmentBytes: queue.environmentBytes });
  return new Promise((resolve, reject) => {
    const { id } = opening;
    new DetachedStart(queue, opening, {
      reject,
      resolve: () =>
        resolve({
          id,
          attach: (options) => reach.attach(id, options),
          kill: (signal) => reach.kill(id, signal),
        }),
    });
  });
}

/** The stream by which a detached command is started and gets its input. */
class DetachedStart implements CommandUser {
  readonly encodeStart?: (version: number) => Buffer;
  readonly #queue: StreamQueue;
  readonly #opening: CommandOpening;
  readonly #stream: CommandStream;
  readonly #settle: { resolve(): void; reject(error: unknown): void };
  #failure: { readonly reason: unknown } | undefined;
  #confirm: NodeJS.Timeout | undefined;
  #stopWatching: () => void = () => undefined;

  constructor(
    queue: StreamQueue,
    opening: CommandOpening,
    settle: { resolve(): void; reject(error: unknown): void },
  ) {
    const { id, encodeStart, input, signal, timeoutMs } = opening;
    this.#queue = queue;
    this.#opening = opening;
    this.#settle = settle;
    if (encodeStart !== undefined) this.encodeStart = encodeStart;
    this.#stream = new CommandStream(queue, this, { id, isInputOnly: true });
    if (signal?.aborted === true) {
      this.#fail(signal.reason);
      return;
    }
    const limits = {
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    this.#stopWatching = watchDeadline('exec', limits, (reason) => this.#giveUp(reason));
    // Behind the end of its input, or when the command reads no more of it.
    this.#stream.input.once('close', () => this.#stream.leave());
    if (input !== undefined) this.#stream.input.end(input);
    this.#stream.start();
  }

  onOpened(): void {
    this.#opening.onStarted?.();
    if (this.#opening.input === undefined) this.#stream.leave();
  }

  onData(): void {
    throw new ProtocolError('output that nobody reads');
  }

  onMissing(): void {
    // Nobody reads.
  }

  onEnded(_exit: ExitMessage): void {
    this.#fail(this.#failure?.reason);
  }

  onDetached(): void {
    this.#release();
    if (this.#failure === undefined) this.#settle.resolve();
    else this.#settle.reject(this.#failure.reason);
  }

  onFailed({ errno, step }: FailedMessage): void {
    this.#fail(startError({ vm: this.#queue.vm, ...this.#opening.names, errno, step }));
  }

  onLost(error: unknown): void {
    this.#fail(error);
  }

  #giveUp(reason: unknown): void {
    this.#failure = { reason };
    if (this.#stream.withdraw()) {
      this.#fail(reason);
      return;
    }
    this.#stream.cancel();
    this.#confirm = setTimeout(() => this.#fail(reason), CANCEL_CONFIRM_MS);
  }

  #fail(reason: unknown): void {
    this.#release();
    this.#settle.reject(this.#failure?.reason ?? reason);
  }

  #release(): void {
    clearTimeout(this.#confirm);
    this.#stopWatching();
    this.#opening.onStarted?.();
    this.#stream.close();
  }
}
