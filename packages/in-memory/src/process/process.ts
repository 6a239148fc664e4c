import type { ScriptedTerminal } from '@microvm/guest';
import type { Account } from '../guest/accounts.js';
import type { ScriptedGuest } from '../guest/guest-script.js';
import { absolute, type FileSystem } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';
import { CommandInput, CommandOutput } from './command-files.js';
import { badDescriptor, type OpenFile } from './open-file.js';
import type { ProcessSystem } from './process-system.js';

/** What a program may hold of its input at once, such as `sort` does. */
export const MAX_HELD_BYTES = 64 << 20;

export type Descriptors = Map<number, OpenFile>;

export interface ProcessParts {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly account: Account;
  /** 0o022 by default. */
  readonly umask?: number;
  /** Retained for the process; they are released when it ends. */
  readonly descriptors: Descriptors;
}

/** A process of the guest as its program sees it. */
export class Process {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly account: Account;
  readonly descriptors: Descriptors;
  readonly umask: number;
  readonly pid: number;
  /** Aborted when it is killed, with the signal's name. */
  readonly signal: AbortSignal;
  readonly system: ProcessSystem;
  /** The disk as the process's user sees it. */
  readonly files: FileSystem;

  constructor(parts: ProcessParts, own: { pid: number; signal: AbortSignal; system: ProcessSystem }) {
    this.argv = parts.argv;
    this.env = parts.env;
    this.cwd = parts.cwd;
    this.account = parts.account;
    this.descriptors = parts.descriptors;
    this.umask = parts.umask ?? own.system.files.umask;
    this.pid = own.pid;
    this.signal = own.signal;
    this.system = own.system;
    this.files = own.system.files.as(parts.account, parts.umask);
  }

  get guest(): ScriptedGuest {
    return this.system.guest;
  }

  get name(): string {
    return this.argv[0].slice(this.argv[0].lastIndexOf('/') + 1);
  }

  get args(): readonly string[] {
    return this.argv.slice(1);
  }

  path(path: string): string {
    return absolute(this.cwd, path);
  }

  descriptor(number: number): OpenFile {
    const file = this.descriptors.get(number);
    if (file === undefined) throw badDescriptor();
    return file;
  }

  /** The terminal that a descriptor leads to. */
  terminalAt(number: number): ScriptedTerminal | undefined {
    const file = this.descriptors.get(number);
    return file instanceof CommandInput || file instanceof CommandOutput ? file.terminal : undefined;
  }

  read(max?: number): Promise<Buffer | undefined> {
    const options = max === undefined ? {} : { max };
    return this.descriptor(0).read({ ...options, signal: this.signal });
  }

  write(data: string | Uint8Array, number = 1): Promise<void> {
    return this.descriptor(number).write(typeof data === 'string' ? Buffer.from(data) : data, this.signal);
  }

  /** Writes bytes that are a character each. */
  writeBytes(text: string): Promise<void> {
    return this.write(Buffer.from(text, 'latin1'));
  }

  /** A line of its own on the standard error, behind its name. */
  async complain(message: string, exitCode = 1): Promise<number> {
    if (this.descriptors.has(2)) await this.write(`${this.name}: ${message}\n`, 2);
    return exitCode;
  }

  async *chunks(file: OpenFile): AsyncGenerator<Buffer> {
    for (;;) {
      await this.system.breathe(this.signal);
      const chunk = await file.read({ signal: this.signal });
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  /** All of a file, a character for each byte. */
  async readAll(file: OpenFile): Promise<string> {
    const pieces: string[] = [];
    let size = 0;
    for await (const chunk of this.chunks(file)) {
      size += chunk.length;
      if (size > MAX_HELD_BYTES) throw new DiskError('ENOMEM', 'more input than a program may hold');
      pieces.push(chunk.toString('latin1'));
    }
    return pieces.join('');
  }

  /** Lines without their ends, a character for each byte. */
  async *lines(file: OpenFile): AsyncGenerator<string> {
    let rest = '';
    for await (const chunk of this.chunks(file)) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_HELD_BYTES) throw new DiskError('ENOMEM', 'a line that is too long');
      yield* lines;
    }
    if (rest !== '') yield rest;
  }
}
