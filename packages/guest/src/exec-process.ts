import type { Writable } from 'node:stream';
import {
  invalidArgument,
  isVmRuntimeError,
  VmRuntimeError,
  endsByDefault,
  requireSignal,
  signalName,
} from '@microvm/runtime';
import type {
  ExecChunk,
  ExecOutput,
  ExecProcess,
  ExecResult,
  OutputOffsets,
  PtySize,
} from '@microvm/runtime';
import { CommandStream } from './command-stream.js';
import type { CommandUser } from './command-stream.js';
import type { ExitMessage } from './command-messages.js';
import { watchDeadline } from './deadline.js';
import { guestBusy, startError } from './exec-failure.js';
import type { CommandOpening } from './command-opening.js';
import { checkSize } from './exec-request.js';
import { killCommand } from './kill-command.js';
import { encodeResize } from './messages.js';
import type { FailedMessage } from './messages.js';
import { OutputCollector, OutputQueue } from './output-queue.js';
import { FrameType } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import type { StreamQueue } from './stream-queue.js';
import { tooOld } from './too-old.js';
import { unreachable } from './unreachable.js';

const DEFAULT_MAX_OUTPUT_BYTES = 1 << 20;
/**
 * After a cancel: how long the guest has to confirm that the command is dead, or left, before the caller is
 * told anyway.
 */
const CANCEL_CONFIRM_MS = 2_000;
const CHANNELS = { stdout: 1, stderr: 2 } as const;

type Reader = 'none' | 'result' | 'iterator';
type Exit = Pick<ExecResult, 'exitCode' | 'signal'>;
/**
 * Makes the error that the caller gets, with what was read of the command, for a caller who awaits the whole.
 */
type Failure = (result?: ExecResult) => unknown;

/** A command: it waits in the queue for its start, and then is what the frames of its stream show. */
export class AgentExecProcess implements ExecProcess, CommandUser {
  readonly id: string;
  readonly stdin: Writable;
  readonly encodeStart?: (version: number) => Buffer;
  readonly #queue: StreamQueue;
  readonly #opening: CommandOpening;
  readonly #stream: CommandStream;
  readonly #output: OutputQueue;
  readonly #collected: Readonly<Record<ExecChunk['stream'], OutputCollector>>;
  readonly #missing = { stdout: 0, stderr: 0 };
  readonly #result: Promise<ExecResult>;
  #size: PtySize | undefined;
  #settle: { resolve(result: ExecResult): void; reject(error: unknown): void } | undefined;
  #reader: Reader = 'none';
  #exit: Exit | undefined;
  #failure: Failure | undefined;
  #confirm: NodeJS.Timeout | undefined;
  #onLeft: (() => void) | undefined;
  #stopWatching: () => void = () => undefined;

  constructor(queue: StreamQueue, opening: CommandOpening) {
    const { id, encodeStart, from, maxOutputBytes = DEFAULT_MAX_OUTPUT_BYTES } = opening;
    this.id = id;
    this.#queue = queue;
    this.#opening = opening;
    if (encodeStart !== undefined) this.encodeStart = encodeStart;
    this.#collected = {
      stdout: new OutputCollector(maxOutputBytes),
      stderr: new OutputCollector(maxOutputBytes),
    };
    this.#output = new OutputQueue((stream, cost) => this.#onTaken(stream, cost), from);
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // A caller that iterates, or does not care, need not await the result.
    this.#result.catch(() => undefined);
    const begin = from === undefined ? {} : { from: { 1: from.stdout, 2: from.stderr } };
    this.#stream = new CommandStream(queue, this, { id, ...begin });
    this.stdin = this.#stream.input;
    this.#start();
  }

  get result(): Promise<ExecResult> {
    if (this.#reader === 'none') {
      this.#reader = 'result';
      this.#collect();
      this.#deliver();
    }
    return this.#result;
  }

  get collected(): ExecOutput {
    const { stdout, stderr } = this.#collected;
    return { stdout: stdout.result(), stderr: stderr.result() };
  }

  get offsets(): OutputOffsets {
    return this.#output.offsets;
  }

  [Symbol.asyncIterator](): AsyncIterator<ExecChunk> {
    if (this.#reader !== 'none') {
      throw new TypeError('the output of a command is read once: by iterating it or by awaiting its result');
    }
    this.#reader = 'iterator';
    this.#deliver();
    return this.#output;
  }

  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const number = requireSignal(signal);
    if (this.#settle === undefined || this.#exit !== undefined) return;
    // The command never ran: the error says only that the signal would have ended it.
    if (this.#isStart() && endsByDefault(signal) && this.#stream.withdraw()) {
      this.#finish({ exitCode: null, signal });
      return;
    }
    if (this.#isStart() && !this.#stream.mayRun) return;
    await killCommand(this.#stream, number);
  }

  resize(size: PtySize): void {
    const checked = checkSize(size, 'size');
    if (this.#opening.names.hasPty === false) throw invalidArgument('size', 'a command with a pty');
    this.#size = checked;
    this.#stream.send(FrameType.resize, encodeResize(checked));
  }

  async detach(): Promise<OutputOffsets> {
    if (this.#settle === undefined || this.#exit !== undefined) return this.offsets;
    if (this.#isStart() && this.#stream.withdraw()) {
      const busy = guestBusy(this.#queue.vm, this.#opening.names.program, this.#queue.reason);
      this.#end(() => busy, { isUrgent: true });
      throw busy;
    }
    if (!this.#stream.canBeLeft) throw tooOld('detach');
    const left = new Promise<void>((resolve) => (this.#onLeft = resolve));
    if (this.#reader === 'none') this.#reader = 'iterator';
    // Whoever iterates finds the end of what there is to read, and no error.
    this.#output.end(undefined, true);
    this.#leave(() => this.#wasLeft());
    await left;
    return this.offsets;
  }

  onSent(): void {
    if (this.#size !== undefined) this.#stream.send(FrameType.resize, encodeResize(this.#size));
  }

  onOpened(): void {
    // Its process id in the guest is nothing to the caller.
    this.#opening.onStarted?.();
  }

  onData(channel: OutputChannel, data: Buffer): void {
    if (this.#failure !== undefined || this.#settle === undefined) return;
    this.#output.push(channel === CHANNELS.stdout ? 'stdout' : 'stderr', data);
    if (this.#reader === 'result') this.#collect();
  }

  onMissing(channel: OutputChannel, bytes: number): void {
    if (this.#failure !== undefined || this.#settle === undefined) return;
    this.#output.skip(channel === CHANNELS.stdout ? 'stdout' : 'stderr', bytes);
    if (this.#reader === 'result') this.#collect();
  }

  onEnded({ exitCode, signal }: ExitMessage): void {
    const exit: Exit =
      signal === null ? { exitCode, signal } : { exitCode: null, signal: signalName(signal) };
    if (this.#failure === undefined) this.#finish(exit);
    else this.#end(this.#failure, { exit, isUrgent: true });
    if (this.#output.isEmpty || this.#reader === 'none') this.#stream.confirm();
  }

  onDetached(): void {
    this.#end(this.#failure ?? (() => this.#wasLeft()), { isUrgent: true });
  }

  onFailed({ errno, step }: FailedMessage): void {
    const error = startError({ vm: this.#queue.vm, ...this.#opening.names, errno, step });
    this.#end(this.#failure ?? (() => error));
  }

  onLost(error: unknown): void {
    this.#end(this.#failure ?? (() => error));
  }

  /** It starts the command, and does not only read it. */
  #isStart(): boolean {
    return this.encodeStart !== undefined;
  }

  #start(): void {
    const { input, signal, timeoutMs } = this.#opening;
    if (signal?.aborted === true) {
      this.#end(() => signal.reason, { isUrgent: true });
      return;
    }
    const limits = {
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    this.#stopWatching = watchDeadline(this.#isStart() ? 'exec' : 'attach', limits, (reason) => {
      this.#onDeadline(reason);
    });
    if (input !== undefined) this.#stream.input.end(input);
    this.#stream.start();
  }

  #onDeadline(reason: unknown): void {
    const isTimeout = isVmRuntimeError(reason, 'MICROVM_TIMEOUT');
    if (isTimeout && this.#settle !== undefined && this.#stream.withdraw()) {
      const busy = guestBusy(this.#queue.vm, this.#opening.names.program, this.#queue.reason);
      this.#end(() => busy, { isUrgent: true });
      return;
    }
    this.#giveUp((result) => (isTimeout && result !== undefined ? withResult(reason, result) : reason));
  }

  #onTaken(stream: ExecChunk['stream'], cost: number): void {
    this.#stream.taken(CHANNELS[stream], cost, this.#output.offsets[stream]);
    if (this.#exit !== undefined && this.#output.isEmpty) this.#stream.confirm();
  }

  #collect(): void {
    for (let chunk = this.#output.take(); chunk !== undefined; chunk = this.#output.take()) {
      const { stream, data, missingBytes } = chunk;
      this.#missing[stream] += missingBytes;
      if (missingBytes > 0 && this.#isStart()) {
        const reason = `${missingBytes} bytes of ${stream} were lost: the guest was out of reach for too long`;
        this.#giveUp(() => unreachable(this.#queue.vm, reason));
        return;
      }
      if (this.#collected[stream].add(data)) continue;
      const { maxOutputBytes: limitBytes = DEFAULT_MAX_OUTPUT_BYTES } = this.#opening;
      const message = `exec: ${stream} is longer than ${limitBytes} bytes`;
      const error = new VmRuntimeError('MICROVM_OUTPUT_LIMIT', message, { details: { stream, limitBytes } });
      this.#giveUp((result) => (result === undefined ? error : withResult(error, result)));
      return;
    }
  }

  #finish(exit: Exit): void {
    this.#exit = exit;
    this.#release();
    this.#output.end();
    // Without a reader the output is kept for the one that may come, and the result with it.
    if (this.#reader !== 'none') this.#deliver();
  }

  #deliver(): void {
    if (this.#exit === undefined || this.#failure !== undefined) return;
    this.#settle?.resolve(this.#resultOf(this.#exit));
    this.#settle = undefined;
  }

  #resultOf(exit: Exit): ExecResult {
    const missing = this.#isStart() ? {} : { missingBytes: { ...this.#missing } };
    return { ...exit, ...this.collected, ...missing };
  }

  /** Ends the command that this process has started; leaves one that it only reads. */
  #giveUp(failure: Failure): void {
    if (this.#isStart()) this.#withdrawOr(failure, () => this.#stream.cancel());
    else this.#leave(failure);
  }

  #leave(failure: Failure): void {
    this.#withdrawOr(failure, () => this.#stream.leave());
  }

  #withdrawOr(failure: Failure, act: () => void): void {
    if (this.#failure !== undefined || this.#settle === undefined) return;
    // What nobody has asked for yet was read all the same.
    this.#failure = failure;
    if (this.#reader === 'none') this.#collect();
    if (this.#exit !== undefined || this.#stream.withdraw()) {
      this.#end(failure, { isUrgent: true });
      return;
    }
    this.#stopWatching();
    this.#output.end(failure(), true);
    act();
    this.#confirm = setTimeout(() => {
      this.#end(failure, { isUrgent: true });
    }, CANCEL_CONFIRM_MS);
  }

  #end(
    failure: Failure,
    { isUrgent = false, exit = this.#exit }: { isUrgent?: boolean; exit?: Exit } = {},
  ): void {
    this.#failure ??= failure;
    this.#release();
    this.#output.end(this.#failure(), isUrgent);
    const result = this.#resultOf(exit ?? { exitCode: null, signal: null });
    this.#settle?.reject(this.#reader === 'iterator' ? this.#failure() : this.#failure(result));
    this.#settle = undefined;
    this.#onLeft?.();
  }

  #release(): void {
    clearTimeout(this.#confirm);
    this.#stopWatching();
    this.#opening.onStarted?.();
    this.#stream.close();
  }

  #wasLeft(): VmRuntimeError {
    const { program } = this.#opening.names;
    return new VmRuntimeError(
      'MICROVM_EXEC_FAILED',
      `exec "${program}" in the guest: its reader has left it`,
      {
        details: { program, errno: 'ECANCELED', step: 'detach' },
        remedy: 'attach to the command by its id to read on',
      },
    );
  }
}

/** The same error, with what was read of the command. */
function withResult<C extends 'MICROVM_TIMEOUT' | 'MICROVM_OUTPUT_LIMIT'>(
  error: VmRuntimeError<C>,
  result: ExecResult,
): VmRuntimeError<C> {
  const { code, message, details, retryable, remedy, cause } = error;
  return new VmRuntimeError(code, message, { details, retryable, remedy, result, cause });
}
