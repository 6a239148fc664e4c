import type { Writable } from 'node:stream';
import { invalidArgument, VmRuntimeError } from '@microvm/runtime';
import type { ExecChunk, ExecProcess, ExecRequest, ExecResult } from '@microvm/runtime';
import { AgentFailure } from './agent-failure.js';
import type { Frame } from './codec.js';
import { CONFIRMED } from './connection.js';
import type { AgentConnection, StreamHandler } from './connection.js';
import { watchDeadline } from './deadline.js';
import { ExecInput } from './exec-input.js';
import { OutputCollector, OutputQueue } from './exec-output.js';
import { ReceiveWindow } from './flow-control.js';
import { decodeCredit, decodeExit, decodeFailed, encodeCredit, encodeSignal } from './messages.js';
import { Channel, FrameType, OUTPUT_WINDOW, ProtocolError } from './protocol.js';
import { signalName, signalNumber } from './signals.js';

const DEFAULT_MAX_OUTPUT_BYTES = 1 << 20;
/** After a cancel: how long the guest has to confirm that the command is dead before the caller is told anyway. */
const CANCEL_CONFIRM_MS = 2_000;
const KILL_TIMEOUT_MS = 10_000;

type Reader = 'none' | 'result' | 'iterator';

/** A command in the guest, as the frames of its stream show it. */
export class AgentExecProcess implements ExecProcess, StreamHandler {
  readonly stdin: Writable;
  readonly #connection: AgentConnection;
  readonly #request: ExecRequest;
  readonly #input: ExecInput;
  readonly #queue: OutputQueue;
  readonly #windows = { stdout: new ReceiveWindow(OUTPUT_WINDOW), stderr: new ReceiveWindow(OUTPUT_WINDOW) };
  readonly #collected: { readonly stdout: OutputCollector; readonly stderr: OutputCollector };
  readonly #limitBytes: number;
  readonly #result: Promise<ExecResult>;
  #settle: { resolve(result: ExecResult): void; reject(error: unknown): void } | undefined;
  #reader: Reader = 'none';
  #exit: Pick<ExecResult, 'exitCode' | 'signal'> | undefined;
  #stream: number | undefined;
  #failure: { readonly error: unknown } | undefined;
  #confirm: NodeJS.Timeout | undefined;
  #stopWatching: () => void = () => undefined;
  readonly #frameHandlers: Partial<Record<FrameType, (frame: Frame) => void>> = {
    [FrameType.started]: () => undefined,
    [FrameType.stdout]: (frame) => this.#onOutput({ stream: 'stdout', data: frame.payload }),
    [FrameType.stderr]: (frame) => this.#onOutput({ stream: 'stderr', data: frame.payload }),
    [FrameType.creditToHost]: (frame) => this.#input.grant(decodeCredit(frame.payload).bytes),
    [FrameType.stdinGone]: () => this.#input.gone(),
    [FrameType.failed]: (frame) => this.#onStartFailed(frame),
    [FrameType.exit]: (frame) => this.#onExit(frame),
  };

  constructor(connection: AgentConnection, request: ExecRequest, body: Buffer) {
    this.#connection = connection;
    this.#request = request;
    this.#limitBytes = request.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
    this.#collected = {
      stdout: new OutputCollector(this.#limitBytes),
      stderr: new OutputCollector(this.#limitBytes),
    };
    this.#queue = new OutputQueue((chunk) => {
      this.#taken(chunk);
    });
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever iterates or does not care need not await it.
    this.#result.catch(() => undefined);
    this.#input = new ExecInput(connection.ack.stdinWindow, {
      send: (data, onWritten) => {
        if (this.#stream !== undefined) connection.send(FrameType.stdin, this.#stream, data, onWritten);
      },
      close: () => {
        if (this.#stream !== undefined) connection.send(FrameType.stdinClose, this.#stream);
      },
    });
    this.stdin = this.#input;
    this.#start(body);
  }

  get result(): Promise<ExecResult> {
    if (this.#reader === 'none') {
      this.#reader = 'result';
      void this.#collect();
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
    if (this.#settle === undefined || this.#stream === undefined) return;
    try {
      await this.#connection.request(FrameType.signal, encodeSignal(this.#stream, number), {
        operation: 'kill',
        ...CONFIRMED,
        timeoutMs: KILL_TIMEOUT_MS,
      });
    } catch (error) {
      // It ended by itself meanwhile.
      if (error instanceof AgentFailure && error.errno === 'ESRCH') return;
      throw error;
    }
  }

  onFrame(frame: Frame): boolean {
    const handle = this.#frameHandlers[frame.type];
    if (handle === undefined) throw new ProtocolError(`frame type ${frame.type} for a command`);
    handle(frame);
    return frame.type === FrameType.exit || frame.type === FrameType.failed;
  }

  onLost(error: VmRuntimeError): void {
    this.#end(this.#failure ?? { error });
  }

  #start(body: Buffer): void {
    const { input, signal } = this.#request;
    if (signal?.aborted === true) {
      this.#end({ error: signal.reason }, true);
      return;
    }
    this.#stream = this.#connection.openStream(FrameType.exec, body, this);
    if (this.#stream === undefined) {
      this.#end({ error: this.#connection.lost });
      return;
    }
    this.#stopWatching = watchDeadline('exec', this.#request, (reason) => {
      this.#cancel(reason);
    });
    if (input !== undefined) this.#input.end(input);
  }

  #onOutput(chunk: ExecChunk): void {
    this.#windows[chunk.stream].receive(chunk.data.length);
    if (this.#failure === undefined) this.#queue.push(chunk);
  }

  /** A reader has it: the guest may send that much again. */
  #taken(chunk: ExecChunk): void {
    const credit = this.#windows[chunk.stream].consume(chunk.data.length);
    if (credit === 0 || this.#stream === undefined || this.#settle === undefined) return;
    this.#connection.send(FrameType.credit, this.#stream, encodeCredit(Channel[chunk.stream], credit));
  }

  async #collect(): Promise<void> {
    try {
      for (let item = await this.#queue.next(); item.done !== true; item = await this.#queue.next()) {
        const { stream, data } = item.value;
        if (this.#collected[stream].add(data)) continue;
        const limitBytes = this.#limitBytes;
        const message = `exec: ${stream} is longer than ${limitBytes} bytes`;
        this.#cancel(
          new VmRuntimeError('MICROVM_OUTPUT_LIMIT', message, { details: { stream, limitBytes } }),
        );
        return;
      }
      this.#deliver();
    } catch {
      // The queue ends with the error that the result was rejected with.
    }
  }

  #onStartFailed(frame: Frame): void {
    const { errno, step } = decodeFailed(frame.payload);
    const program = this.#request.argv[0];
    const message = `exec "${program}" in the guest: ${step} failed with ${errno}`;
    const error = new VmRuntimeError('MICROVM_EXEC_FAILED', message, { details: { program, errno } });
    this.#end(this.#failure ?? { error });
  }

  #onExit(frame: Frame): void {
    const exit = decodeExit(frame.payload);
    if (this.#failure !== undefined) {
      this.#end(this.#failure, true);
      return;
    }
    this.#exit = exit.signal === null ? exit : { exitCode: null, signal: signalName(exit.signal) };
    this.#release();
    this.#queue.end();
    // Collected, the result comes with the last of the output; else nothing of the output belongs to it.
    if (this.#reader === 'iterator') this.#deliver();
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
    this.#failure = { error };
    this.#stopWatching();
    this.#queue.end(error, true);
    if (this.#stream !== undefined) this.#connection.send(FrameType.cancel, this.#stream);
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
    this.#input.gone();
  }
}
