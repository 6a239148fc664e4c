import type { Writable } from 'node:stream';
import { invalidArgument, isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import type { ExecChunk, ExecProcess, ExecRequest, ExecResult } from '@microvm/runtime';
import { AgentFailure } from './agent-failure.js';
import type { Frame } from './codec.js';
import type { CommandQueue, PendingCommand } from './command-queue.js';
import type { AgentConnection } from './connection.js';
import { watchDeadline } from './deadline.js';
import { guestBusy, startError } from './exec-failure.js';
import { ExecInput } from './exec-input.js';
import { OutputCollector, OutputQueue } from './exec-output.js';
import { encodeExecRequest } from './exec-request.js';
import { ReceiveWindow } from './flow-control.js';
import { decodeCredit, decodeExit, decodeFailed, encodeCredit, encodeSignal } from './messages.js';
import { Channel, FrameType, OUTPUT_WINDOW, ProtocolError } from './protocol.js';
import { CONFIRMED } from './request.js';
import { endsByDefault, signalName, signalNumber } from './signals.js';

const DEFAULT_MAX_OUTPUT_BYTES = 1 << 20;
/**
 * After a cancel: how long the guest has to confirm that the command is dead before the caller is told
 * anyway.
 */
const CANCEL_CONFIRM_MS = 2_000;
const KILL_TIMEOUT_MS = 10_000;
const NO_BYTES = Buffer.alloc(0);

type Reader = 'none' | 'result' | 'iterator';
type OutputStream = ExecChunk['stream'];

/** The stream of a command that was started. */
interface Opened {
  readonly connection: AgentConnection;
  readonly stream: number;
  readonly windows: Readonly<Record<OutputStream, ReceiveWindow>>;
}

/** A command: it waits in the queue for its start, and then is what the frames of its stream show. */
export class AgentExecProcess implements ExecProcess, PendingCommand {
  readonly stdin: Writable;
  readonly #commands: CommandQueue;
  readonly #program: string;
  readonly #cwd: string;
  readonly #input = new ExecInput();
  readonly #queue: OutputQueue;
  readonly #collected: Readonly<Record<OutputStream, OutputCollector>>;
  readonly #limitBytes: number;
  readonly #result: Promise<ExecResult>;
  #body: Buffer;
  #settle: { resolve(result: ExecResult): void; reject(error: unknown): void } | undefined;
  #reader: Reader = 'none';
  #exit: Pick<ExecResult, 'exitCode' | 'signal'> | undefined;
  #opened: Opened | undefined;
  #failure: { readonly error: unknown } | undefined;
  #confirm: NodeJS.Timeout | undefined;
  #stopWatching: () => void = () => undefined;
  /** Frames that come once at most. */
  readonly #expected = new Set<FrameType>([FrameType.started, FrameType.stdinGone]);
  readonly #frameHandlers: Partial<Record<FrameType, (frame: Frame) => void>> = {
    [FrameType.started]: (frame) => this.#once(frame),
    [FrameType.stdout]: (frame) => this.#onOutput('stdout', frame.payload),
    [FrameType.stderr]: (frame) => this.#onOutput('stderr', frame.payload),
    [FrameType.creditToHost]: (frame) => this.#input.grant(decodeCredit(frame.payload).bytes),
    [FrameType.stdinGone]: (frame) => {
      this.#once(frame);
      this.#input.gone();
    },
    [FrameType.failed]: (frame) => this.#onStartFailed(frame),
    [FrameType.exit]: (frame) => this.#onExit(frame),
  };

  /** Throws `MICROVM_INVALID_ARGUMENT`. */
  constructor(commands: CommandQueue, request: ExecRequest) {
    this.#body = encodeExecRequest(request);
    this.#commands = commands;
    this.#program = request.argv[0];
    this.#cwd = request.cwd ?? '/';
    this.#limitBytes = request.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
    this.#collected = {
      stdout: new OutputCollector(this.#limitBytes),
      stderr: new OutputCollector(this.#limitBytes),
    };
    this.#queue = new OutputQueue((stream, cost) => {
      this.#taken(stream, cost);
    });
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // A caller that iterates, or does not care, need not await the result.
    this.#result.catch(() => undefined);
    this.stdin = this.#input;
    this.#start(request);
  }

  get body(): Buffer {
    return this.#body;
  }

  get result(): Promise<ExecResult> {
    if (this.#reader === 'none') {
      this.#reader = 'result';
      this.#collect();
      this.#deliver();
    }
    return this.#result;
  }

  [Symbol.asyncIterator](): AsyncIterator<ExecChunk> {
    if (this.#reader !== 'none') {
      throw new TypeError('the output of a command is read once: by iterating it or by awaiting its result');
    }
    this.#reader = 'iterator';
    this.#deliver();
    return this.#queue;
  }

  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const number = signalNumber(signal);
    if (number === undefined) throw invalidArgument('signal', 'the name of a Linux signal');
    if (this.#settle === undefined || this.#exit !== undefined) return;
    if (this.#opened === undefined) {
      // The command never ran: the error says only that the signal would have ended it.
      if (endsByDefault(signal) && this.#commands.remove(this)) this.#finish({ exitCode: null, signal });
      return;
    }
    const { connection, stream } = this.#opened;
    try {
      await connection.request(FrameType.signal, encodeSignal(stream, number), {
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

  onOpened(connection: AgentConnection, stream: number): void {
    this.#body = NO_BYTES;
    if (this.#settle === undefined) return;
    const window = () => new ReceiveWindow(OUTPUT_WINDOW, connection.growth);
    this.#opened = { connection, stream, windows: { stdout: window(), stderr: window() } };
    this.#input.open({
      window: connection.ack.stdinWindow,
      hasRoom: () => connection.hasRoom,
      send: (data, onWritten) => connection.send(FrameType.stdin, stream, data, onWritten),
      close: () => connection.send(FrameType.stdinClose, stream),
    });
  }

  onFrame(frame: Frame): boolean {
    const handle = this.#frameHandlers[frame.type];
    if (handle === undefined) throw new ProtocolError(`frame type ${frame.type} for a command`);
    handle(frame);
    return frame.type === FrameType.exit || frame.type === FrameType.failed;
  }

  onRoom(): void {
    this.#input.resume();
  }

  onLost(error: unknown): void {
    this.#end(this.#failure ?? { error });
  }

  #start(request: ExecRequest): void {
    const { input, signal, timeoutMs } = request;
    if (signal?.aborted === true) {
      this.#end({ error: signal.reason }, true);
      return;
    }
    const limits = {
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    this.#stopWatching = watchDeadline('exec', limits, (reason) => {
      this.#cancel(reason);
    });
    if (input !== undefined) this.#input.end(input);
    this.#commands.add(this);
  }

  #once(frame: Frame): void {
    if (!this.#expected.delete(frame.type)) throw new ProtocolError(`frame type ${frame.type} comes twice`);
  }

  #onOutput(stream: OutputStream, data: Buffer): void {
    this.#opened?.windows[stream].receive(data.length);
    if (this.#failure !== undefined) return;
    this.#queue.push(stream, data);
    if (this.#reader === 'result') this.#collect();
  }

  /** A reader has it: the guest may send that much again. */
  #taken(stream: OutputStream, cost: number): void {
    if (this.#opened === undefined || this.#settle === undefined || this.#exit !== undefined) return;
    const { connection, stream: number, windows } = this.#opened;
    const credit = windows[stream].consume(cost);
    if (credit > 0) connection.send(FrameType.credit, number, encodeCredit(Channel[stream], credit));
  }

  #collect(): void {
    for (let chunk = this.#queue.take(); chunk !== undefined; chunk = this.#queue.take()) {
      const { stream, data } = chunk;
      if (this.#collected[stream].add(data)) continue;
      const limitBytes = this.#limitBytes;
      const message = `exec: ${stream} is longer than ${limitBytes} bytes`;
      const details = { stream, limitBytes };
      this.#cancel(new VmRuntimeError('MICROVM_OUTPUT_LIMIT', message, { details }));
      return;
    }
  }

  #onStartFailed(frame: Frame): void {
    const { errno, step } = decodeFailed(frame.payload);
    const error = startError({
      vm: this.#commands.vm,
      program: this.#program,
      cwd: this.#cwd,
      errno,
      step,
    });
    this.#end(this.#failure ?? { error });
  }

  #onExit(frame: Frame): void {
    const exit = decodeExit(frame.payload);
    if (this.#failure !== undefined) {
      this.#end(this.#failure, true);
      return;
    }
    this.#finish(exit.signal === null ? exit : { exitCode: null, signal: signalName(exit.signal) });
  }

  #finish(exit: Pick<ExecResult, 'exitCode' | 'signal'>): void {
    this.#exit = exit;
    this.#release();
    this.#queue.end();
    // Without a reader the output is kept for the one that may come, and the result with it.
    if (this.#reader !== 'none') this.#deliver();
  }

  #deliver(): void {
    const { stdout, stderr } = this.#collected;
    if (this.#exit === undefined || this.#failure !== undefined) return;
    this.#settle?.resolve({ ...this.#exit, stdout: stdout.result(), stderr: stderr.result() });
    this.#settle = undefined;
  }

  #cancel(error: unknown): void {
    if (this.#failure !== undefined || this.#settle === undefined) return;
    if (this.#exit !== undefined) {
      this.#end({ error }, true);
      return;
    }
    if (this.#commands.remove(this)) {
      const isTimeout = isVmRuntimeError(error, 'MICROVM_TIMEOUT');
      const { vm, reason } = this.#commands;
      this.#end({ error: isTimeout ? guestBusy(vm, this.#program, reason) : error }, true);
      return;
    }
    this.#failure = { error };
    this.#stopWatching();
    this.#queue.end(error, true);
    this.#opened?.connection.send(FrameType.cancel, this.#opened.stream);
    this.#confirm = setTimeout(() => {
      this.#end({ error }, true);
    }, CANCEL_CONFIRM_MS);
  }

  #end(failure: { readonly error: unknown }, isUrgent = false): void {
    this.#failure ??= failure;
    this.#release();
    this.#queue.end(failure.error, isUrgent);
    this.#settle?.reject(failure.error);
    this.#settle = undefined;
  }

  #release(): void {
    clearTimeout(this.#confirm);
    this.#stopWatching();
    this.#body = NO_BYTES;
    this.#input.gone();
    this.#opened?.windows.stdout.close();
    this.#opened?.windows.stderr.close();
  }
}
