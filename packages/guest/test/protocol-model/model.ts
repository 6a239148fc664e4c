import type { ExecProcess } from '@microvm/runtime';
import { FileContents } from './file-contents.js';

/** `cat` in the guest, and what was written to it. */
export interface Echo {
  readonly id: string;
  readonly process: ExecProcess;
  readonly written: Buffer[];
}

/** A command that nobody reads: it writes `bytes` bytes and ends with `exitCode`. */
export interface Unread {
  readonly id: string;
  readonly bytes: number;
  readonly exitCode: number;
}

/** What must be true of the guest. */
export class GuestModel {
  /** Each id that a command was ever given. */
  readonly known = new Set<string>();
  /** Commands that are read, and that end when the test says so. */
  echoes: Echo[] = [];
  /** Those whose reader was lost with a life of the guest: they go on, and anybody may end them. */
  orphans: string[] = [];
  unread: Unread[] = [];
  readonly #files = new Map<string, FileContents>();

  file(name: string): FileContents {
    const file = this.#files.get(name) ?? new FileContents();
    this.#files.set(name, file);
    return file;
  }

  /** A new life begins: its commands have no reader any more. */
  lose(): void {
    this.orphans.push(...this.echoes.map(({ id }) => id));
    this.echoes = [];
  }
}
