import { decodeAttach, encodeCommands } from './command-messages.js';
import { newCommandId } from './command-id.js';
import type { ExecMessage } from './messages.js';
import { PayloadReader } from './payload.js';
import { MAX_LISTED } from './protocol.js';
import { CommandStream } from './scripted-command.js';
import type { Exec } from './scripted-command.js';
import type { Link } from './scripted-command-io.js';
import type { ScriptErrors } from './scripted-errors.js';

/** Ends that are kept for readers that nobody expects. */
const MAX_KEPT = 64;

type HelperMessage = Pick<ExecMessage, 'argv' | 'user'>;

export interface ReaderLink extends Link {
  /** The frames of the stream are those of this command: called before the first answer. */
  isOf(command: CommandStream): void;
}

export interface ScriptedCommandsParts {
  readonly errors: ScriptErrors;
  readonly untilThawed: () => Promise<void>;
  readonly awaitReaderMs: number;
  /** The host acknowledges output: it speaks protocol 2. */
  readonly isAcknowledged: boolean;
}

/** The commands of a scripted guest, with or without a reader. */
export class ScriptedCommands {
  readonly #parts: ScriptedCommandsParts;
  /** By the order of their starts. */
  readonly #commands = new Map<number, CommandStream>();
  #last = 0;

  constructor(parts: ScriptedCommandsParts) {
    this.#parts = parts;
  }

  /** Runs a command; answers an errno when it cannot. */
  start(link: ReaderLink, message: ExecMessage, outputWindow: number, exec: Exec): string | undefined {
    if (this.find(message.id) !== undefined) return 'EEXIST';
    const number = ++this.#last;
    const command = new CommandStream(link, {
      ...this.#parts,
      message,
      outputWindow,
      onForgotten: () => this.#commands.delete(number),
    });
    this.#commands.set(number, command);
    link.isOf(command);
    void command.run(exec).then(() => this.#limitKept());
    return undefined;
  }

  /** Runs what is a command to its stream and to nobody else: it is not listed, and ends with its session. */
  startHelper(link: ReaderLink, what: HelperMessage, outputWindow: number, exec: Exec): undefined {
    const message = { ...what, id: newCommandId(), isDetached: false, env: {}, cwd: '/', rlimits: {} };
    const parts = { ...this.#parts, outputWindow, isAcknowledged: false, onForgotten: () => undefined };
    const command = new CommandStream(link, {
      ...parts,
      message: { ...message, pty: undefined, secrets: {} },
    });
    link.isOf(command);
    void command.run(exec);
    return undefined;
  }

  /** A reader comes; answers an errno when it cannot. */
  attach(link: ReaderLink, body: Buffer): string | undefined {
    const message = decodeAttach(body);
    const command = this.find(message.id);
    if (command === undefined) return 'ESRCH';
    if (command.hasReader) return 'EBUSY';
    link.isOf(command);
    return command.attach(link, message);
  }

  find(id: string): CommandStream | undefined {
    return [...this.#commands.values()].find((command) => command.id === id);
  }

  /** The host knows of the end of which it was told by this stream. */
  confirm(stream: number): void {
    for (const command of [...this.#commands.values()]) command.confirm(stream);
  }

  /** The answer to a request for the list. */
  list(payload: Buffer): Buffer {
    const from = new PayloadReader(payload).u32();
    const listed = [...this.#commands].filter(([number]) => number >= from);
    const commands = listed.slice(0, MAX_LISTED).map(([, command]) => command.describe());
    return encodeCommands({ next: listed[MAX_LISTED]?.[0] ?? 0, commands });
  }

  /** The session is over; `isForGood`: its host will not come back. */
  lose({ isForGood = false } = {}): void {
    for (const command of [...this.#commands.values()]) {
      if (isForGood) command.loseForGood();
      else command.lose();
    }
  }

  #limitKept(): void {
    const kept = [...this.#commands.values()].filter((command) => command.isKept);
    for (const command of kept.slice(0, Math.max(0, kept.length - MAX_KEPT))) command.forget();
  }
}
