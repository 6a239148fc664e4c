import type { Frame } from './codec.js';
import { decodeResize, encodeExit, encodeFailed, encodeOpenedExec } from './messages.js';
import type { ExecMessage, FailedMessage } from './messages.js';
import { FrameType, ProtocolError } from './protocol.js';
import type { ScriptErrors } from './scripted-errors.js';
import { ScriptedStream } from './scripted-stream.js';
import type { ScriptedStreamParts } from './scripted-stream.js';
import type { ScriptedTerminal } from './scripted-terminal.js';
import { TerminalOfCommand } from './terminal-of-command.js';
import { endsByDefault, signalName, signalNumber } from './signals.js';

/** A command as the script of a guest sees it. */
export interface ScriptedCommand extends Omit<ExecMessage, 'pty'> {
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

type Exec = (command: ScriptedCommand) => Promise<ScriptedEnd> | ScriptedEnd;

/** A command of a scripted guest, on its stream. Detached, it runs on and its output goes nowhere. */
export class CommandStream {
  readonly #stream: ScriptedStream;
  readonly #pid: number;
  readonly #untilThawed: () => Promise<void>;
  readonly #errors: ScriptErrors;
  readonly #onEnd: () => void;
  readonly #abort = new AbortController();
  #terminal: TerminalOfCommand | undefined;
  #hasEnded = false;

  constructor(parts: ScriptedStreamParts, errors: ScriptErrors, onEnd: () => void) {
    this.#errors = errors;
    this.#stream = new ScriptedStream(parts);
    this.#pid = parts.stream;
    this.#untilThawed = parts.untilThawed;
    this.#onEnd = onEnd;
  }

  async run(message: ExecMessage, exec: Exec): Promise<void> {
    this.#stream.say(FrameType.opened, encodeOpenedExec(this.#pid));
    try {
      const { pty, ...rest } = message;
      const command = { ...rest, signal: this.#abort.signal };
      const end = await exec(
        pty === undefined ? { ...command, ...this.#pipes() } : this.#onTerminal(command, pty),
      );
      await this.#untilThawed();
      this.#end(end);
    } catch (error) {
      if (this.#hasEnded) return;
      await this.#untilThawed();
      this.#fail(error instanceof ScriptedErrno ? error : this.#errors.keep(error));
    }
  }

  onFrame(frame: Frame): void {
    if (this.#stream.onFrame(frame)) return;
    if (frame.type === FrameType.resize && this.#terminal !== undefined) {
      this.#terminal.resize(decodeResize(frame.payload));
      return;
    }
    if (frame.type !== FrameType.cancel) throw new ProtocolError(`frame type ${frame.type} for a command`);
    this.kill(9);
  }

  kill(number: number): void {
    const name = signalName(number);
    if (!endsByDefault(name)) return;
    this.#abort.abort(name);
    this.#end({ signal: name as NodeJS.Signals });
  }

  /** The host listens no more. */
  detach(): void {
    this.#stream.detach();
  }

  #pipes(): Pick<ScriptedCommand, 'stdin' | 'stdout' | 'stderr'> {
    return {
      stdin: this.#stream.read(),
      stdout: (data) => this.#stream.write(1, data),
      stderr: (data) => this.#stream.write(2, data),
    };
  }

  #onTerminal(
    command: Omit<ExecMessage, 'pty'> & Pick<ScriptedCommand, 'signal'>,
    pty: NonNullable<ExecMessage['pty']>,
  ): ScriptedCommand {
    const terminal = new TerminalOfCommand(pty, this.#stream, (name) => this.kill(signalNumber(name) ?? 0));
    this.#terminal = terminal;
    const show = (data: string | Uint8Array) => terminal.show(data);
    return { ...command, terminal, stdin: terminal.read(), stdout: show, stderr: show };
  }

  #end(end: ScriptedEnd): void {
    const exit =
      typeof end === 'number'
        ? { exitCode: end & 0xff, signal: null }
        : { exitCode: null, signal: signalNumber(end.signal) ?? 9 };
    this.#finish(FrameType.ended, encodeExit(exit));
  }

  #fail({ errno, step }: FailedMessage): void {
    this.#finish(FrameType.failed, encodeFailed(errno, step));
  }

  #finish(type: FrameType, payload: Buffer): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stream.finish(type, payload);
    this.#onEnd();
  }
}
