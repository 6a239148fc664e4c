import type { PtySize } from '@microvm/runtime';

/** The terminal that a scripted command runs on. */
export interface ScriptedTerminal extends PtySize {
  readonly term: string;
  /** Raw: every byte is handed on as it comes, nothing is echoed, edited or taken for a signal. */
  setRaw(isRaw: boolean): void;
  /** Calls back at each change of the size, as SIGWINCH does. */
  onResize(listener: (size: PtySize) => void): void;
  /** What is typed from here on, until the next end of file: a terminal has any number of them. */
  read(): AsyncIterable<Buffer>;
  /**
   * Signals that are typed go to the listener, which a shell is, for as long as it answers true. Without one
   * they go to the command.
   */
  takeSignals(listener: ((name: NodeJS.Signals) => boolean) | undefined): void;
}

/** What a line discipline has around it. */
export interface TerminalEnds {
  /** Output, and what is echoed. */
  show(data: Buffer): void;
  /** A line, or bytes of a raw terminal, for the command; empty: the end of its input. */
  type(data: Buffer): void;
  /** Of the command: `SIGINT`, `SIGQUIT` or `SIGTSTP`. */
  signal(name: NodeJS.Signals): void;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const DELETE = 0x7f;
const SIGNALS: Readonly<Record<number, NodeJS.Signals>> = { 3: 'SIGINT', 28: 'SIGQUIT', 26: 'SIGTSTP' };
const [END_OF_FILE, KILL_LINE, ERASE_WORD] = [4, 21, 23];
const RUBOUT = Buffer.from('\b \b');
/** As Linux has it: a longer line keeps its first bytes. */
const MAX_LINE = 4_095;
const SPACE = 0x20;

/**
 * The line discipline of a terminal as Linux sets a new one up (ICANON, ECHO, ECHOE, ECHOCTL, ISIG, ICRNL,
 * ONLCR, IUTF8): lines are echoed and edited (backspace, Ctrl-W, Ctrl-U), Ctrl-D ends the input, Ctrl-C,
 * Ctrl-\ and Ctrl-Z are signals.
 */
export class LineDiscipline {
  readonly #ends: TerminalEnds;
  #isRaw = false;
  #line: number[] = [];
  #echoed: Buffer[] = [];

  constructor(ends: TerminalEnds) {
    this.#ends = ends;
  }

  setRaw(isRaw: boolean): void {
    this.#isRaw = isRaw;
    if (isRaw) this.#handOver();
  }

  /** What the host types. */
  type(data: Buffer): void {
    if (this.#isRaw) {
      if (data.length > 0) this.#ends.type(Buffer.from(data));
      return;
    }
    for (const byte of data) this.#typeOne(byte === RETURN ? NEWLINE : byte);
    this.#flushEcho();
  }

  /** The host types no more: as Ctrl-D, also in the middle of a line. */
  end(): void {
    if (this.#isRaw) return;
    this.#handOver();
    this.#ends.type(Buffer.alloc(0));
  }

  /** Output as the terminal shows it. */
  static cook(data: Buffer): Buffer {
    return Buffer.from(data.toString('latin1').replaceAll('\n', '\r\n'), 'latin1');
  }

  #typeOne(byte: number): void {
    const signal = SIGNALS[byte];
    if (signal !== undefined) {
      this.#line = [];
      this.#echo(byte);
      this.#flushEcho();
      this.#ends.signal(signal);
    } else if (byte === END_OF_FILE) {
      if (this.#line.length === 0) this.#ends.type(Buffer.alloc(0));
      else this.#handOver();
    } else if (byte === DELETE) {
      this.#erase();
    } else if (byte === KILL_LINE) {
      while (this.#line.length > 0) this.#erase();
    } else if (byte === ERASE_WORD) {
      while (this.#line.at(-1) === SPACE) this.#erase();
      while (this.#line.length > 0 && this.#line.at(-1) !== SPACE) this.#erase();
    } else if (byte === NEWLINE || this.#line.length < MAX_LINE) {
      this.#line.push(byte);
      this.#echo(byte);
      if (byte === NEWLINE) this.#handOver();
    }
  }

  #handOver(): void {
    if (this.#line.length === 0) return;
    const line = Buffer.from(this.#line);
    this.#line = [];
    this.#ends.type(line);
  }

  /** Erases one character, all of its bytes. */
  #erase(): void {
    let byte = this.#line.pop();
    if (byte === undefined) return;
    this.#echoed.push(isControl(byte) ? Buffer.concat([RUBOUT, RUBOUT]) : RUBOUT);
    while (byte !== undefined && (byte & 0xc0) === 0x80) byte = this.#line.pop();
  }

  #flushEcho(): void {
    if (this.#echoed.length > 0) this.#ends.show(Buffer.concat(this.#echoed.splice(0)));
  }

  #echo(byte: number): void {
    if (byte === NEWLINE) this.#echoed.push(Buffer.from('\r\n'));
    else if (isControl(byte)) this.#echoed.push(Buffer.from([0x5e, byte ^ 0x40]));
    else this.#echoed.push(Buffer.of(byte));
  }
}

function isControl(byte: number): boolean {
  return byte < SPACE && byte !== 9;
}
