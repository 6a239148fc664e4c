import { endsByDefault, signalName, signalNumber } from '@microvm/runtime';
import type { Frame } from './codec.js';
import { encodeAttached, encodeCommandEnd } from './command-messages.js';
import type { AttachMessage, ExitMessage, ListedCommand } from './command-messages.js';
import { decodeResize, encodeFailed, encodeOpenedExec } from './messages.js';
import type { ExecMessage, FailedMessage } from './messages.js';
import { FrameType, ProtocolError } from './protocol.js';
import { CommandIo } from './scripted-command-io.js';
import type { Link } from './scripted-command-io.js';
import type { ScriptErrors } from './scripted-errors.js';
import type { ScriptedTerminal } from './scripted-terminal.js';
import { TerminalOfCommand } from './terminal-of-command.js';

/** A command as the script of a guest sees it. */
export interface ScriptedCommand extends Omit<ExecMessage, 'pty' | 'argv'> {
  readonly argv: readonly [string, ...string[]];
  /**
   * Its terminal, when it was asked for with a `pty`: then `stdin` gives what its line discipline hands over,
   * and all output is shown on it.
   */
  readonly terminal?: ScriptedTerminal;
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
  /** What failed: `exec`, `user`, `cwd` … */
  readonly step: string;

  constructor(errno: string, step = 'exec') {
    super(`the command cannot be started: ${step} failed with ${errno}`);
    this.errno = errno;
    this.step = step;
  }
}

/** As it was asked for, without what the image of the VM gives it. */
export type AskedCommand = Omit<ScriptedCommand, 'argv'> & Pick<ExecMessage, 'argv'>;

export type Exec = (command: AskedCommand) => Promise<ScriptedEnd> | ScriptedEnd;

export interface ScriptedCommandParts {
  readonly message: ExecMessage;
  readonly outputWindow: number;
  readonly untilThawed: () => Promise<void>;
  /** How long the command is held up for a reader that has lost its session. */
  readonly awaitReaderMs: number;
  /** Nothing of it is kept any more. */
  readonly onForgotten: () => void;
  /** Without acknowledgements nothing can be kept for a reader that comes back. */
  readonly isAcknowledged: boolean;
  readonly errors: ScriptErrors;
}

/** A command of a scripted guest. It outlives its readers as the real agent's commands do. */
export class CommandStream {
  readonly #parts: ScriptedCommandParts;
  readonly #io: CommandIo;
  readonly #pid: number;
  readonly #startedUs = Date.now() * 1000;
  readonly #abort = new AbortController();
  #terminal: TerminalOfCommand | undefined;
  #isDetached: boolean;
  #isCancelled = false;
  #exit: ExitMessage | undefined;
  /** The script failed, and its reader was not there to be told. */
  #failure: FailedMessage | undefined;
  /** The stream by which the host was told of the end. */
  #told: number | undefined;
  #isForgotten = false;
  #awaited: NodeJS.Timeout | undefined;

  constructor(link: Link, parts: ScriptedCommandParts) {
    const { message, outputWindow, isAcknowledged, untilThawed } = parts;
    this.#parts = parts;
    this.#isDetached = message.isDetached;
    this.#pid = link.stream;
    const isRead = !message.isDetached;
    this.#io = new CommandIo(link, { outputWindow, isRead, isAcknowledged, untilThawed });
  }

  get id(): string {
    return this.#parts.message.id;
  }

  get hasReader(): boolean {
    return this.#io.link !== undefined;
  }

  /** It has ended, and nobody is expected who reads its end. */
  get isKept(): boolean {
    const isExpected = this.#io.link !== undefined || this.#told !== undefined || this.#awaited !== undefined;
    return this.#exit !== undefined && !isExpected;
  }

  async run(exec: Exec): Promise<void> {
    this.#io.say(FrameType.opened, encodeOpenedExec(this.#pid));
    try {
      const { pty, ...rest } = this.#parts.message;
      const command = { ...rest, signal: this.#abort.signal };
      const end = await exec(
        pty === undefined ? { ...command, ...this.#pipes() } : this.#onTerminal(command, pty),
      );
      await this.#parts.untilThawed();
      this.#end(end);
    } catch (error) {
      if (this.#exit !== undefined || this.#isForgotten) return;
      await this.#parts.untilThawed();
      this.#fail(error instanceof ScriptedErrno ? error : this.#parts.errors.keep(error));
    }
  }

  /** A reader comes. Answers an errno when it cannot. */
  attach(link: Link, message: AttachMessage): string | undefined {
    const attached = this.#io.attach(link, message);
    if (attached === undefined) return 'EINVAL';
    this.#expect(false);
    this.#told = undefined;
    const flags = { isDetached: this.#isDetached, hasTerminal: this.#parts.message.pty !== undefined };
    this.#io.say(FrameType.opened, encodeAttached({ ...attached, ...flags, pid: this.#pid }));
    if (this.#failure === undefined) queueMicrotask(() => this.#goOn());
    else this.#tellFailure(this.#failure);
    return undefined;
  }

  onFrame(frame: Frame): void {
    if (this.#io.onFrame(frame)) {
      // Not within the host's call: in one process it would get the next data in the midst of the last.
      if (frame.type === FrameType.credit) queueMicrotask(() => this.#goOn());
    } else if (frame.type === FrameType.resize && this.#terminal !== undefined) {
      this.#terminal.resize(decodeResize(frame.payload));
    } else if (frame.type === FrameType.detach) {
      this.#onDetach();
    } else if (frame.type === FrameType.cancel) {
      this.#isCancelled = true;
      this.kill(9);
    } else {
      throw new ProtocolError(`frame type ${frame.type} for a command`);
    }
  }

  kill(number: number): void {
    const name = signalName(number);
    if (!endsByDefault(name) || this.#exit !== undefined) return;
    this.#abort.abort(name);
    this.#end({ signal: name as NodeJS.Signals });
  }

  /** Its session is over. */
  detach(): void {
    this.lose();
  }

  /** The host listens no more, and may come back. */
  lose(): void {
    const hadReader = this.#io.link !== undefined || this.#told !== undefined;
    this.#io.release();
    this.#told = undefined;
    if (!this.#parts.isAcknowledged) this.loseForGood();
    else if (hadReader) this.#expect(true);
  }

  /** Nobody comes back, as in a guest that was restored. */
  loseForGood(): void {
    this.#io.release();
    this.#told = undefined;
    this.#becomeUnattended();
  }

  /** The host knows of the end of which it was told by this stream. */
  confirm(stream: number): void {
    if (this.#told === stream) this.forget();
  }

  forget(): void {
    if (this.#isForgotten) return;
    this.#isForgotten = true;
    this.#expect(false);
    this.#parts.onForgotten();
  }

  describe(): ListedCommand {
    const { message } = this.#parts;
    return {
      id: this.id,
      pid: this.#exit === undefined ? this.#pid : 0,
      exit: this.#exit,
      isDetached: this.#isDetached,
      hasTerminal: message.pty !== undefined,
      hasReader: this.#io.link !== undefined,
      ...this.#io.inputFlags,
      startedUs: this.#startedUs,
      kept: this.#io.kept,
      text: message.argv.join(' '),
    };
  }

  #goOn(): void {
    this.#io.pump();
    this.#tell();
  }

  #pipes(): Pick<ScriptedCommand, 'stdin' | 'stdout' | 'stderr'> {
    return {
      stdin: this.#io.read(),
      stdout: (data) => this.#io.write(1, data),
      stderr: (data) => this.#io.write(2, data),
    };
  }

  #onTerminal(
    command: Omit<ExecMessage, 'pty'> & Pick<ScriptedCommand, 'signal'>,
    pty: NonNullable<ExecMessage['pty']>,
  ): AskedCommand {
    const terminal = new TerminalOfCommand(pty, this.#io, (name) => this.kill(signalNumber(name) ?? 0));
    this.#terminal = terminal;
    const show = (data: string | Uint8Array) => terminal.show(data);
    return { ...command, terminal, stdin: terminal.read(), stdout: show, stderr: show };
  }

  #onDetach(): void {
    const { link } = this.#io;
    this.#isDetached = true;
    this.#io.release();
    this.#becomeUnattended();
    link?.send(FrameType.ended, link.stream, encodeCommandEnd('detached'));
  }

  #becomeUnattended(): void {
    this.#expect(false);
    this.#io.leave();
    if (!this.#isDetached) this.#io.endInput();
    const hasFailed = this.#failure !== undefined;
    if (hasFailed || (this.#exit !== undefined && (!this.#parts.isAcknowledged || this.#isCancelled)))
      this.forget();
  }

  #expect(isExpected: boolean): void {
    clearTimeout(this.#awaited);
    this.#awaited = isExpected
      ? setTimeout(() => this.#becomeUnattended(), this.#parts.awaitReaderMs).unref()
      : undefined;
  }

  #end(end: ScriptedEnd): void {
    if (this.#exit !== undefined || this.#isForgotten) return;
    this.#exit =
      typeof end === 'number'
        ? { exitCode: end & 0xff, signal: null }
        : { exitCode: null, signal: signalNumber(end.signal) ?? 9 };
    this.#io.close();
    this.#tell();
    const isUnwanted = !this.#parts.isAcknowledged || this.#isCancelled;
    if (isUnwanted && this.#io.link === undefined) this.forget();
  }

  /** The end is told behind all of the output. */
  #tell(): void {
    const { link } = this.#io;
    if (this.#exit === undefined || link === undefined) return;
    if (!this.#isCancelled && !(this.#io.isRead && this.#io.isAllSent)) return;
    // The host may answer within the sending.
    this.#io.release();
    this.#told = link.stream;
    link.send(FrameType.ended, link.stream, encodeCommandEnd(this.#exit));
    if (this.#isCancelled || !this.#parts.isAcknowledged) this.forget();
  }

  #fail(failure: FailedMessage): void {
    this.#io.close();
    this.#failure = failure;
    if (this.#io.link !== undefined) this.#tellFailure(failure);
    else if (this.#awaited === undefined) this.forget();
  }

  #tellFailure({ errno, step }: FailedMessage): void {
    const { link } = this.#io;
    this.#io.release();
    this.forget();
    link?.send(FrameType.failed, link.stream, encodeFailed(errno, step));
  }
}
