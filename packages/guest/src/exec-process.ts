import type { Writable } from 'node:stream';
import { invalidArgument, isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import type { ExecChunk, ExecOutput, ExecProcess, ExecRequest, ExecResult, PtySize } from '@microvm/runtime';
import { AgentFailure } from './agent-failure.js';
import { watchDeadline } from './deadline.js';
import { guestBusy, startError } from './exec-failure.js';
import { checkSize, encodeExecRequest, parseExecRequest } from './exec-request.js';
import { decodeExit, encodeResize, encodeSignal } from './messages.js';
import type { EncodedExec, ExecMessage, FailedMessage } from './messages.js';
import { OutputCollector, OutputQueue } from './output-queue.js';
import { FrameType } from './protocol.js';
import type { OutputChannel } from './protocol.js';
import { CONFIRMED } from './request.js';
import { endsByDefault, signalName, signalNumber } from './signals.js';
import { AgentStream } from './stream.js';
import type { StreamUser } from './stream.js';
import type { StreamQueue } from './stream-queue.js';
import { tooOld } from './too-old.js';

const DEFAULT_MAX_OUTPUT_BYTES = 1 << 20;
/**
 * After a cancel: how long the guest has to confirm that the command is dead before the caller is told
 * anyway.
 */
const CANCEL_CONFIRM_MS = 2_000;
const KILL_TIMEOUT_MS = 10_000;
const CHANNELS = { stdout: 1, stderr: 2 } as const;

type Reader = 'none' | 'result' | 'iterator';
type Exit = Pick<ExecResult, 'exitCode' | 'signal'>;
/**
 * Makes the error that the caller gets, with what was read of the command, for a caller who awaits the whole.
 */
type Failure = (result?: ExecResult) => unknown;

/** A command: it waits in the queue for its start, and then is what the frames of its stream show. */
export class AgentExecProcess implements ExecProcess, StreamUser {
  readonly stdin: Writable;
  readonly #queue: StreamQueue;
  readonly #stream: AgentStream;
  readonly #output: OutputQueue;
  readonly #collected: Readonly<Record<ExecChunk['stream'], OutputCollector>>;
  readonly #limitBytes: number;
  readonly #result: Promise<ExecResult>;
  /** Until it is sent. */
  #encoded: EncodedExec | undefined;
  readonly #names: Pick<ExecMessage, 'cwd' | 'user'> & { readonly program: string; readonly hasPty: boolean };
  #size: PtySize | undefined;
  #settle: { resolve(result: ExecResult): void; reject(error: unknown): void } | undefined;
  #reader: Reader = 'none';
  #exit: Exit | undefined;
  #failure: Failure | undefined;
  #confirm: NodeJS.Timeout | undefined;
  #stopWatching: () => void = () => undefined;

  /** Throws `MICROVM_INVALID_ARGUMENT`. */
  constructor(queue: StreamQueue, request: ExecRequest) {
    const message = parseExecRequest(request);
    this.#encoded = encodeExecRequest(message, queue.environmentBytes);
    const { argv, cwd, user, pty } = message;
    this.#names = { program: argv[0], cwd, user, hasPty: pty !== undefined };
    this.#queue = queue;
    this.#limitBytes = request.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
    this.#collected = {
      stdout: new OutputCollector(this.#limitBytes),
      stderr: new OutputCollector(this.#limitBytes),
    };
    this.#output = new OutputQueue((stream, cost) => {
      this.#stream.taken(CHANNELS[stream], cost);
    });
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // A caller that iterates, or does not care, need not await the result.
    this.#result.catch(() => undefined);
    this.#stream = new AgentStream(queue, this);
    this.stdin = this.#stream.input;
    this.#start(request);
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

  [Symbol.asyncIterator](): AsyncIterator<ExecChunk> {
    if (this.#reader !== 'none') {
      throw new TypeError('the output of a command is read once: by iterating it or by awaiting its result');
    }
    this.#reader = 'iterator';
    this.#deliver();
    return this.#output;
  }

  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const number = signalNumber(signal);
    if (number === undefined) throw invalidArgument('signal', 'the name of a Linux signal');
    if (this.#settle === undefined || this.#exit !== undefined) return;
    const { opened } = this.#stream;
    if (opened === undefined) {
      // The command never ran: the error says only that the signal would have ended it.
      if (endsByDefault(signal) && this.#stream.withdraw()) this.#finish({ exitCode: null, signal });
      return;
    }
    try {
      await opened.connection.request(FrameType.signal, encodeSignal(opened.number, number), {
        operation: 'kill',
        ...CONFIRMED,
        timeoutMs: KILL_TIMEOUT_MS,
      });
    } catch (error) {
      // The command ended by itself meanwhile.
      if (error instanceof AgentFailure && error.errno === 'ESRCH') return;
      throw error;
    }
  }

  resize(size: PtySize): void {
    const checked = checkSize(size, 'size');
    if (!this.#names.hasPty) throw invalidArgument('size', 'a command with a pty');
    this.#size = checked;
    this.#stream.send(FrameType.resize, encodeResize(checked));
  }

  encode(version: number): Buffer {
    if (this.#encoded === undefined) throw new Error('a command is started once');
    const { body, bodyV1 } = this.#encoded;
    if (version > 1) return body;
    if (bodyV1 === undefined) throw tooOld('exec with user, rlimits or pty');
    return bodyV1;
  }

  onOpening(): void {
    this.#encoded = undefined;
    if (this.#size !== undefined) this.#stream.send(FrameType.resize, encodeResize(this.#size));
  }

  onOpened(): void {
    // Its process id in the guest is nothing to the caller.
  }

  onData(channel: OutputChannel, data: Buffer): void {
    if (this.#failure !== undefined || this.#settle === undefined) return;
    this.#output.push(channel === CHANNELS.stdout ? 'stdout' : 'stderr', data);
    if (this.#reader === 'result') this.#collect();
  }

  onEnded(payload: Buffer): void {
    const { exitCode, signal } = decodeExit(payload);
    const exit: Exit =
      signal === null ? { exitCode, signal } : { exitCode: null, signal: signalName(signal) };
    if (this.#failure === undefined) this.#finish(exit);
    else this.#end(this.#failure, { exit, isUrgent: true });
  }

  onFailed({ errno, step }: FailedMessage): void {
    const error = startError({ vm: this.#queue.vm, ...this.#names, errno, step });
    this.#end(this.#failure ?? (() => error));
  }

  onLost(error: unknown): void {
    this.#end(this.#failure ?? (() => error));
  }

  #start(request: ExecRequest): void {
    const { input, signal, timeoutMs } = request;
    if (signal?.aborted === true) {
      this.#end(() => signal.reason, { isUrgent: true });
      return;
    }
    const limits = {
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    this.#stopWatching = watchDeadline('exec', limits, (reason) => {
      this.#onDeadline(reason);
    });
    if (input !== undefined) this.#stream.input.end(input);
    this.#stream.start();
  }

  #onDeadline(reason: unknown): void {
    const isTimeout = isVmRuntimeError(reason, 'MICROVM_TIMEOUT');
    if (isTimeout && this.#settle !== undefined && this.#stream.withdraw()) {
      const busy = guestBusy(this.#queue.vm, this.#names.program, this.#queue.reason);
      this.#end(() => busy, { isUrgent: true });
      return;
    }
    this.#cancel((result) => (isTimeout && result !== undefined ? withResult(reason, result) : reason));
  }

  #collect(): void {
    for (let chunk = this.#output.take(); chunk !== undefined; chunk = this.#output.take()) {
      const { stream, data } = chunk;
      if (this.#collected[stream].add(data)) continue;
      const limitBytes = this.#limitBytes;
      const message = `exec: ${stream} is longer than ${limitBytes} bytes`;
      const error = new VmRuntimeError('MICROVM_OUTPUT_LIMIT', message, { details: { stream, limitBytes } });
      this.#cancel((result) => (result === undefined ? error : withResult(error, result)));
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
    this.#settle?.resolve({ ...this.#exit, ...this.collected });
    this.#settle = undefined;
  }

  #cancel(failure: Failure): void {
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
    this.#stream.cancel();
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
    const result = { ...(exit ?? { exitCode: null, signal: null }), ...this.collected };
    this.#settle?.reject(this.#reader === 'iterator' ? this.#failure() : this.#failure(result));
    this.#settle = undefined;
  }

  #release(): void {
    clearTimeout(this.#confirm);
    this.#stopWatching();
    this.#encoded = undefined;
    this.#stream.close();
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
