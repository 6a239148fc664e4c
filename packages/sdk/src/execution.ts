import {
  type ExecChunk,
  type ExecOutput,
  type ExecProcess,
  type Guest,
  isVmRuntimeError,
  type KeepAlive,
  type OutputOffsets,
  type PtySize,
  VmRuntimeError,
  within,
  withoutUndefined,
} from '@microvm/runtime';
import type { Command } from './command.js';
import { CommandError, CommandResult } from './command-result.js';
import { remainingMs } from './deadline.js';
import { feedInput } from './feed-input.js';

/** A piece of output as it arrived. */
export interface CommandChunk extends ExecChunk {
  /**
   * The same as text; a character that is cut by the end of a piece comes whole with the next one, and one
   * that the command itself cut as U+FFFD behind the last piece.
   */
  readonly text: string;
}

interface ExecutionInit {
  /** Throws `MICROVM_INVALID_ARGUMENT`. */
  parse(): Command;
  guest(): Promise<Guest>;
  readonly alive: KeepAlive;
  /** It reads a command that is there, and starts none. */
  readonly attachment?: { readonly id: string; readonly from?: OutputOffsets | undefined };
}

interface Started {
  readonly command: Command;
  readonly process: ExecProcess;
}

/**
 * A command that runs in the guest, from the moment of the call. Either await it for its `CommandResult`, or
 * iterate it for its output as it comes: a slow reader slows the command down, nothing is dropped, and
 * leaving the loop early kills the command. Awaited after the loop, it answers with the exit code and without
 * the output. An execution that nobody looks at runs on and keeps its failure to itself.
 */
export class Execution implements Promise<CommandResult>, AsyncIterable<CommandChunk> {
  readonly [Symbol.toStringTag] = 'Execution';
  readonly #init: ExecutionInit;
  readonly #started: Promise<Started>;
  #process: ExecProcess | undefined;
  #inputFailure: { readonly reason: unknown } | undefined;
  #result: Promise<CommandResult> | undefined;

  constructor(init: ExecutionInit) {
    this.#init = init;
    this.#started = this.#start();
    // A caller that awaits or iterates gets the failure; the failure must not end the process before.
    this.#started.catch(() => undefined);
  }

  /**
   * Sends a signal, `SIGTERM` by default, to all that the command started; resolves when the guest has sent
   * it.
   */
  async kill(signal?: NodeJS.Signals): Promise<void> {
    await this.#init.alive.during(this.#started.then(({ process }) => process.kill(signal)));
  }

  /**
   * Gives the window of a command with a `pty` another size. Errors: INVALID_ARGUMENT, also without a `pty`.
   */
  async resize(size: PtySize): Promise<void> {
    (await this.#started).process.resize(size);
  }

  /** The command's id: by it any process that owns the VM can attach. */
  async id(): Promise<string> {
    return (await this.#started).process.id;
  }

  /** The first byte of each output that this reader has not taken. */
  get offsets(): OutputOffsets {
    return this.#process?.offsets ?? { stdout: 0, stderr: 0 };
  }

  /** Leaves the command to itself; see `ExecProcess.detach`. */
  async detach(): Promise<OutputOffsets> {
    return this.#init.alive.during(this.#started.then(({ process }) => process.detach()));
  }

  /** What an awaited command has written so far; also after an abort, a time-out or too much output. */
  get collected(): ExecOutput {
    return this.#process?.collected ?? { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  }

  then<A = CommandResult, B = never>(
    onFulfilled?: ((result: CommandResult) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#finish().then(onFulfilled, onRejected);
  }

  catch<B = never>(
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<CommandResult | B> {
    return this.#finish().catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<CommandResult> {
    return this.#finish().finally(onFinally);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CommandChunk, void, undefined> {
    const { alive } = this.#init;
    // Bytes that begin with a byte order mark keep it as text, as they do in a result.
    const decoder = () => new TextDecoder('utf-8', { ignoreBOM: true });
    const decoders = { stdout: decoder(), stderr: decoder() };
    let atEnd = false;
    alive.hold();
    try {
      const { process } = await this.#started;
      for await (const chunk of process) {
        yield { ...chunk, text: decoders[chunk.stream].decode(chunk.data, { stream: true }) };
      }
      for (const stream of ['stdout', 'stderr'] as const) {
        // The beginning of a last character that was cut.
        const text = decoders[stream].decode();
        if (text === '') continue;
        yield { stream, data: Buffer.alloc(0), offset: process.offsets[stream], missingBytes: 0, text };
      }
      atEnd = true;
      await this.#finish();
    } catch (error) {
      throw await this.#asAsked(error);
    } finally {
      alive.release();
      if (!atEnd) await this.#abandon();
    }
  }

  async #start(): Promise<Started> {
    const command = this.#init.parse();
    const { argv, options } = command;
    const { env, secrets, cwd, user, rlimits, pty, maxOutputBytes, signal, timeoutMs } = options;
    // The keyboard of a terminal is there, whether somebody types or not.
    const { attachment } = this.#init;
    const isKept = pty !== undefined || attachment !== undefined;
    const input = options.input ?? (isKept ? undefined : '');
    const startedAt = performance.now();
    // The time limit is one for the whole call: the guest may be out of reach for longer than that.
    const guest = await within(this.#init.guest(), { signal, timeoutMs }, () => {
      throw timedOut(timeoutMs ?? 0);
    });
    const whole = typeof input === 'string' || input instanceof Uint8Array ? input : undefined;
    const streamed = typeof input === 'string' || input instanceof Uint8Array ? undefined : input;
    const leftMs = timeoutMs === undefined ? undefined : remainingMs(timeoutMs, startedAt);
    const limits = withoutUndefined({ input: whole, maxOutputBytes, signal, timeoutMs: leftMs });
    const from = attachment?.from === undefined ? {} : { from: attachment.from };
    const start = (): ExecProcess =>
      guest.exec({ ...withoutUndefined({ argv, env, secrets, cwd, user, rlimits, pty }), ...limits });
    const process = attachment === undefined ? start() : guest.attach(attachment.id, { ...from, ...limits });
    this.#process = process;
    if (streamed !== undefined) {
      void feedInput(streamed, process.stdin).then(async (failure) => {
        if (failure === undefined) return;
        this.#inputFailure = failure;
        await this.#letGo(process).catch(() => undefined); // The command may have ended meanwhile.
      });
    }
    return { command, process };
  }

  #finish(): Promise<CommandResult> {
    this.#result ??= this.#init.alive.during(this.#collect());
    return this.#result;
  }

  async #collect(): Promise<CommandResult> {
    const { command, process } = await this.#started;
    const ended = await process.result.then(
      (result) => new CommandResult(result),
      async (error: unknown) => {
        throw await this.#asAsked(error);
      },
    );
    if (this.#inputFailure !== undefined) throw this.#inputFailure.reason;
    if (command.options.throwOnError === true && !ended.ok) throw new CommandError(command.text, ended);
    return ended;
  }

  /**
   * The error names the time limit that the caller asked for, not what was left of it when the command could
   * be started.
   */
  async #asAsked(error: unknown): Promise<unknown> {
    if (!isVmRuntimeError(error, 'MICROVM_TIMEOUT') || error.details.operation !== 'exec') return error;
    const { timeoutMs } = (await this.#started).command.options;
    if (timeoutMs === undefined || timeoutMs === error.details.timeoutMs) return error;
    return timedOut(timeoutMs, {
      cause: error,
      ...(error.result === undefined ? {} : { result: error.result }),
    });
  }

  /** A command that somebody else has started goes on. */
  async #letGo(process: ExecProcess): Promise<void> {
    if (this.#init.attachment === undefined) await process.kill('SIGKILL');
    else await process.detach();
  }

  async #abandon(): Promise<void> {
    try {
      await this.#letGo((await this.#started).process);
    } catch {
      // The command never started, or ended by itself: there is nothing to kill, and the loop has its own
      // error.
    }
  }
}

function timedOut(
  timeoutMs: number,
  init: Pick<VmRuntimeError<'MICROVM_TIMEOUT'>, 'result' | 'cause'> = {},
): VmRuntimeError {
  return new VmRuntimeError('MICROVM_TIMEOUT', `exec: no end after ${timeoutMs} ms`, {
    details: { operation: 'exec', timeoutMs },
    ...init,
  });
}
