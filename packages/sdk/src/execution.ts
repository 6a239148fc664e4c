import type { ExecChunk, ExecProcess, Guest, KeepAlive } from '@microvm/runtime';
import type { Command } from './command.js';
import { CommandError, CommandResult } from './command-result.js';
import { remainingMs, untilAborted } from './deadline.js';
import { feedInput } from './feed-input.js';

/** A piece of output as it arrived. */
export interface CommandChunk extends ExecChunk {
  /** The same as text; a character that is cut by the end of a piece comes whole with the next one. */
  readonly text: string;
}

interface ExecutionInit {
  /** Throws `MICROVM_INVALID_ARGUMENT`. */
  parse(): Command;
  guest(): Promise<Guest>;
  readonly alive: KeepAlive;
}

interface Started {
  readonly command: Command;
  readonly process: ExecProcess;
}

/**
 * A command that runs in the guest, from the moment of the call. Either await it for its `CommandResult`, or iterate it for its
 * output as it comes: a slow reader slows the command down, nothing is dropped, and leaving the loop early kills the command.
 * Awaited after the loop, it answers with the exit code and without the output. An execution that nobody looks at runs on
 * and keeps its failure to itself.
 */
export class Execution implements Promise<CommandResult>, AsyncIterable<CommandChunk> {
  readonly [Symbol.toStringTag] = 'Execution';
  readonly #init: ExecutionInit;
  readonly #started: Promise<Started>;
  #inputFailure: { readonly reason: unknown } | undefined;
  #result: Promise<CommandResult> | undefined;

  constructor(init: ExecutionInit) {
    this.#init = init;
    this.#started = this.#start();
    // Whoever awaits or iterates gets the failure; it must not end the process before.
    this.#started.catch(() => undefined);
  }

  /** Sends a signal, `SIGTERM` by default, to the command's process group. */
  async kill(signal?: NodeJS.Signals): Promise<void> {
    await this.#init.alive.during(this.#started.then(({ process }) => process.kill(signal)));
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
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    let atEnd = false;
    alive.hold();
    try {
      const { process } = await this.#started;
      for await (const chunk of process) {
        yield { ...chunk, text: decoders[chunk.stream].decode(chunk.data, { stream: true }) };
      }
      atEnd = true;
      await this.#finish();
    } finally {
      alive.release();
      if (!atEnd) await this.#abandon();
    }
  }

  async #start(): Promise<Started> {
    const command = this.#init.parse();
    const { argv, options } = command;
    const { env, cwd, input = '', maxOutputBytes, signal, timeoutMs } = options;
    const startedAt = performance.now();
    const guest = await untilAborted(this.#init.guest(), signal);
    const streamed = typeof input === 'string' || input instanceof Uint8Array ? undefined : input;
    const process = guest.exec({
      argv,
      ...(env === undefined ? {} : { env }),
      ...(cwd === undefined ? {} : { cwd }),
      ...(streamed === undefined ? { input: input as string | Uint8Array } : {}),
      ...(maxOutputBytes === undefined ? {} : { maxOutputBytes }),
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs: remainingMs(timeoutMs, startedAt) }),
    });
    if (streamed !== undefined) {
      void feedInput(streamed, process.stdin).then(async (failure) => {
        if (failure === undefined) return;
        this.#inputFailure = failure;
        await process.kill('SIGKILL').catch(() => undefined); // The command may have ended meanwhile.
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
    const ended = new CommandResult(await process.result);
    if (this.#inputFailure !== undefined) throw this.#inputFailure.reason;
    if (command.options.throwOnError === true && !ended.ok) throw new CommandError(command.text, ended);
    return ended;
  }

  async #abandon(): Promise<void> {
    try {
      await (await this.#started).process.kill('SIGKILL');
    } catch {
      // It never started, or it ended by itself: there is nothing to kill, and the loop has its own error.
    }
  }
}
