import type { Frame } from './codec.js';
import { frameCost, ReceiveWindow, SendWindow } from './flow-control.js';
import { decodeCredit, encodeCredit, encodeExit, encodeFailed } from './messages.js';
import type { ExecMessage } from './messages.js';
import { Channel, FrameType, MAX_PAYLOAD, ProtocolError, STDIN_WINDOW } from './protocol.js';
import { endsByDefault, signalName, signalNumber } from './signals.js';

/** A command as the script of a guest sees it. */
export interface ScriptedCommand extends ExecMessage {
  /** What the host sends; ends when it closes it. */
  readonly stdin: AsyncIterable<Buffer>;
  /**
   * Aborted when the command is killed, with the signal's name as reason; what the script does then does not
   * count any more.
   */
  readonly signal: AbortSignal;
  /**
   * Resolves when there is room for more: a slow reader on the host slows the script down, and a frozen guest
   * stops it.
   */
  readonly stdout: (data: string | Uint8Array) => Promise<void>;
  readonly stderr: (data: string | Uint8Array) => Promise<void>;
}

/** How a command ended: its exit code, or the signal that ended it. */
export type ScriptedEnd = number | { readonly signal: NodeJS.Signals };

/** Thrown by a script for a command that cannot be started. */
export class ScriptedErrno extends Error {
  override readonly name = 'ScriptedErrno';
  readonly errno: string;

  constructor(errno: string) {
    super(`the command cannot be started: ${errno}`);
    this.errno = errno;
  }
}

export type SendFrame = (type: FrameType, stream: number, payload?: Buffer) => void;

/** The guest's end of one command's stream. Detached, it runs on and its output goes nowhere. */
export class CommandStream {
  readonly #stream: number;
  readonly #send: SendFrame;
  readonly #untilThawed: () => Promise<void>;
  readonly #onEnd: () => void;
  readonly #abort = new AbortController();
  readonly #windows: { readonly stdout: SendWindow; readonly stderr: SendWindow };
  readonly #stdinWindow = new ReceiveWindow(STDIN_WINDOW);
  #input: Buffer[] = [];
  #isInputClosed = false;
  #isOpen = true;
  #hasEnded = false;
  /** Wakes whoever waits for credit, input or the end. */
  #wake: (() => void)[] = [];

  constructor(options: {
    readonly stream: number;
    readonly outputWindow: number;
    readonly send: SendFrame;
    readonly untilThawed: () => Promise<void>;
    readonly onEnd: () => void;
  }) {
    this.#stream = options.stream;
    this.#send = options.send;
    this.#untilThawed = options.untilThawed;
    this.#onEnd = options.onEnd;
    this.#windows = {
      stdout: new SendWindow(options.outputWindow),
      stderr: new SendWindow(options.outputWindow),
    };
  }

  async run(
    message: ExecMessage,
    exec: (command: ScriptedCommand) => Promise<ScriptedEnd> | ScriptedEnd,
  ): Promise<void> {
    this.#say(FrameType.started, Buffer.from([this.#stream & 0xff, 0, 0, 0]));
    try {
      const end = await exec({
        ...message,
        stdin: this.#readInput(),
        signal: this.#abort.signal,
        stdout: (data) => this.#write('stdout', data),
        stderr: (data) => this.#write('stderr', data),
      });
      await this.#untilThawed();
      this.#end(end);
    } catch (error) {
      if (error instanceof ScriptedErrno) this.#fail(error.errno);
      else await this.#crash(error);
    }
  }

  onFrame(frame: Frame): void {
    if (frame.type === FrameType.stdin) {
      this.#stdinWindow.receive(frame.payload.length);
      if (this.#isInputClosed) throw new ProtocolError('STDIN after its end');
      this.#input.push(Buffer.from(frame.payload));
    } else if (frame.type === FrameType.stdinClose) {
      this.#isInputClosed = true;
    } else if (frame.type === FrameType.cancel) {
      this.kill(9);
    } else if (frame.type === FrameType.credit) {
      this.#onCredit(frame.payload);
    } else {
      throw new ProtocolError(`frame type ${frame.type} for a command`);
    }
    this.#wakeAll();
  }

  kill(number: number): void {
    const name = signalName(number);
    if (!endsByDefault(name)) return;
    this.#abort.abort(name);
    this.#end({ signal: name as NodeJS.Signals });
  }

  /** The host listens no more. */
  detach(): void {
    this.#isOpen = false;
    this.#isInputClosed = true;
    this.#wakeAll();
  }

  async #write(channel: 'stdout' | 'stderr', data: string | Uint8Array): Promise<void> {
    let rest =
      typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.length);
    while (rest.length > 0) {
      await this.#untilThawed();
      if (!this.#isOpen) return;
      const size = Math.min(rest.length, this.#windows[channel].room, MAX_PAYLOAD);
      if (size === 0) {
        await this.#wait();
        continue;
      }
      this.#windows[channel].spend(size);
      // Copied: the script may use its buffer again at once.
      this.#say(FrameType[channel], Buffer.from(rest.subarray(0, size)));
      rest = rest.subarray(size);
    }
  }

  async *#readInput(): AsyncGenerator<Buffer> {
    while (!this.#hasEnded) {
      const chunk = this.#input.shift();
      if (chunk !== undefined) {
        const credit = this.#stdinWindow.consume(frameCost(chunk.length));
        if (credit > 0) this.#say(FrameType.creditToHost, encodeCredit(Channel.stdin, credit));
        yield chunk;
      } else if (this.#isInputClosed) {
        return;
      } else {
        await this.#wait();
      }
    }
  }

  #onCredit(payload: Buffer): void {
    const { channel, bytes } = decodeCredit(payload);
    if (channel === Channel.stdin) throw new ProtocolError('credit for a channel of the host');
    this.#windows[channel === Channel.stdout ? 'stdout' : 'stderr'].grant(bytes);
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake.push(resolve);
    });
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  async #crash(error: unknown): Promise<void> {
    if (!this.#hasEnded)
      await this.#write('stderr', `${error instanceof Error ? error.message : String(error)}\n`);
    this.#end(1);
  }

  #end(end: ScriptedEnd): void {
    const exit =
      typeof end === 'number'
        ? { exitCode: end & 0xff, signal: null }
        : { exitCode: null, signal: signalNumber(end.signal) ?? 9 };
    this.#finish(FrameType.exit, encodeExit(exit));
  }

  #fail(errno: string): void {
    this.#finish(FrameType.failed, encodeFailed(errno, 'exec'));
  }

  #finish(type: FrameType, payload: Buffer): void {
    if (this.#hasEnded) return;
    this.#say(type, payload);
    this.#hasEnded = true;
    this.detach();
    this.#onEnd();
  }

  #say(type: FrameType, payload: Buffer): void {
    if (this.#isOpen) this.#send(type, this.#stream, payload);
  }
}
