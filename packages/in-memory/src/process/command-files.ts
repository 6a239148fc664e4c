import type { ScriptedCommand, ScriptedTerminal } from '@microvm/guest';
import { badDescriptor, OpenFile, Waiters, type ReadOptions } from './open-file.js';

/** The input that the host gives a command: what one process has left unread the next one reads. */
export class CommandInput extends OpenFile {
  readonly terminal: ScriptedTerminal | undefined;
  readonly #open: () => AsyncIterable<Buffer>;
  readonly #waiters = new Waiters();
  #source: AsyncIterator<Buffer> | undefined;
  #rest: Buffer | undefined;
  #state: 'idle' | 'reading' | 'ended' = 'idle';

  constructor(command: Pick<ScriptedCommand, 'stdin' | 'terminal'>) {
    super();
    this.terminal = command.terminal;
    const { stdin, terminal } = command;
    this.#open = terminal === undefined ? () => stdin : () => terminal.read();
  }

  async read({ max = Infinity, signal }: ReadOptions): Promise<Buffer | undefined> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#rest !== undefined) {
        const data = this.#rest;
        this.#rest = data.length > max ? data.subarray(max) : undefined;
        return data.subarray(0, max);
      }
      if (this.#state === 'ended') {
        // A terminal's end of file ends one reader's input, and not the next one's.
        if (this.terminal !== undefined) this.#state = 'idle';
        return undefined;
      }
      if (this.#state === 'idle') this.#fetch();
      await this.#waiters.wait(signal);
    }
  }

  async write(): Promise<void> {
    throw badDescriptor();
  }

  /** One read of the source at a time, which nobody's kill breaks off. */
  #fetch(): void {
    this.#state = 'reading';
    this.#source ??= this.#open()[Symbol.asyncIterator]();
    void this.#source.next().then(
      ({ done, value }) => {
        this.#state = done === true ? 'ended' : 'idle';
        if (done !== true) this.#rest = value;
        else this.#source = this.terminal === undefined ? this.#source : undefined;
        this.#waiters.wakeAll();
      },
      () => {
        this.#state = 'ended';
        this.#waiters.wakeAll();
      },
    );
  }
}

/** Where a command writes to: a stream to the host, or its terminal. */
export class CommandOutput extends OpenFile {
  readonly terminal: ScriptedTerminal | undefined;
  readonly #write: ScriptedCommand['stdout'];

  constructor(write: ScriptedCommand['stdout'], terminal: ScriptedTerminal | undefined) {
    super();
    this.#write = write;
    this.terminal = terminal;
  }

  async read(options: ReadOptions): Promise<Buffer | undefined> {
    void options;
    throw badDescriptor();
  }

  async write(data: Uint8Array): Promise<void> {
    await this.#write(data);
  }
}
