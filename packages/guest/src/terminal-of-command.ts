import type { PtySize } from '@microvm/runtime';
import type { ExecMessage } from './messages.js';
import type { CommandIo } from './scripted-command-io.js';
import { LineDiscipline } from './scripted-terminal.js';
import type { ScriptedTerminal } from './scripted-terminal.js';
import { Wakeups } from './wakeups.js';

/** While so much waits for the command to read it, nothing more is typed, not even a signal. */
const MAX_TYPED_BYTES = 65_536;

/** The terminal of one scripted command, on the command's stream. */
export class TerminalOfCommand implements ScriptedTerminal {
  readonly term: string;
  readonly #stream: CommandIo;
  readonly #discipline: LineDiscipline;
  readonly #listeners: ((size: PtySize) => void)[] = [];
  readonly #typed: Buffer[] = [];
  #onSignal: ((name: NodeJS.Signals) => boolean) | undefined;
  #size: PtySize;
  #typedBytes = 0;
  #isTypingOver = false;
  #isRaw = false;
  /** Wakes who waits: the command for bytes, the typing for room. */
  readonly #waiting = new Wakeups();
  /** What is shown goes out in its order, echo and output alike. */
  #shown: Promise<void> = Promise.resolve();

  constructor(
    pty: NonNullable<ExecMessage['pty']>,
    stream: CommandIo,
    signal: (name: NodeJS.Signals) => void,
  ) {
    this.term = pty.term;
    this.#size = pty;
    this.#stream = stream;
    this.#discipline = new LineDiscipline({
      show: (data) => void this.#send(data),
      type: (data) => {
        this.#typed.push(data);
        this.#typedBytes += data.length;
        this.#waiting.wakeAll();
      },
      // Behind its echo, but not behind output that the host does not read.
      signal: (name) =>
        void setImmediate(() => {
          if (this.#onSignal?.(name) !== true) signal(name);
        }),
    });
    void this.#listen();
  }

  get cols(): number {
    return this.#size.cols;
  }

  get rows(): number {
    return this.#size.rows;
  }

  setRaw(isRaw: boolean): void {
    this.#isRaw = isRaw;
    this.#discipline.setRaw(isRaw);
  }

  onResize(listener: (size: PtySize) => void): void {
    this.#listeners.push(listener);
  }

  takeSignals(listener: ((name: NodeJS.Signals) => boolean) | undefined): void {
    this.#onSignal = listener;
  }

  resize(size: PtySize): void {
    this.#size = size;
    for (const listener of this.#listeners) listener(size);
  }

  show(data: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(data);
    return this.#send(this.#isRaw ? bytes : LineDiscipline.cook(bytes));
  }

  /** What the line discipline hands over, until an end of file. */
  async *read(): AsyncGenerator<Buffer> {
    for (;;) {
      const data = this.#typed.shift();
      if (data === undefined) {
        if (this.#isTypingOver) return;
        await this.#waiting.wait();
        continue;
      }
      this.#typedBytes -= data.length;
      this.#waiting.wakeAll();
      if (data.length === 0) return;
      yield data;
    }
  }

  /** Types what the host sends, also while the command does not read: a signal must reach it all the same. */
  async #listen(): Promise<void> {
    for await (const data of this.#stream.read()) {
      this.#discipline.type(data);
      while (this.#typedBytes > MAX_TYPED_BYTES) await this.#waiting.wait();
    }
    this.#isTypingOver = true;
    this.#discipline.end();
    this.#waiting.wakeAll();
  }

  #send(data: Buffer): Promise<void> {
    this.#shown = this.#shown.then(() => this.#stream.write(1, data));
    return this.#shown;
  }
}
