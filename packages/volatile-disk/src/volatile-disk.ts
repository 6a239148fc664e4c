import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { builtPath } from './built-path.js';

/**
 * What a cut leaves of the writes since the last flush: nothing, all of them, about half of them whole, or
 * about half of the sectors of each.
 */
export type Survival = 'none' | 'all' | 'writes' | 'sectors';

const PROGRAM = 'volatile-disk';

/** What a cut met. */
export interface CutCounts {
  /** Writes since the last flush, and their sectors of 4 KiB. */
  readonly writes: number;
  readonly sectors: number;
  readonly survivingSectors: number;
}

/**
 * A block device with the content of an image file, which stays as it is, and with a volatile write cache: a
 * write is on the disk after the next flush. It takes root, /dev/fuse and loop devices. The program that
 * serves it ends with this process, and takes the device with it as soon as nobody has it mounted.
 */
export class VolatileDisk implements AsyncDisposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  readonly #folder: string;

  private constructor(process: ChildProcessByStdio<Writable, Readable, null>, folder: string) {
    this.#process = process;
    this.#folder = folder;
    this.#reader = createInterface(process.stdout);
    this.#lines = this.#reader[Symbol.asyncIterator]();
    // A program that is gone answers no command: that is the error to be told of.
    process.stdin.on('error', () => undefined);
  }

  /** Throws an `Error` unless the program that serves a disk is there. */
  static checkBuilt(): void {
    builtPath(PROGRAM);
  }

  static async start(image: string): Promise<VolatileDisk> {
    const folder = await mkdtemp(join(tmpdir(), 'microvm-disk-'));
    const file = join(folder, 'disk');
    await writeFile(file, '');
    return new VolatileDisk(
      spawn(builtPath(PROGRAM), [image, file], { stdio: ['pipe', 'pipe', 'inherit'] }),
      folder,
    );
  }

  /**
   * The disk has power again, and what was on it when that was cut; resolves with the path of its block
   * device.
   */
  async powerOn(): Promise<string> {
    return (await this.#ask('on')).slice('on '.length);
  }

  /** From here on the next flush cuts the power: the writes before it are on their way then, in no order. */
  async cutAtFlush(survival: Survival, seed: number): Promise<void> {
    await this.#ask(`arm ${survival} ${seed}`);
  }

  /** Cuts the power, unless a flush has done so. Whoever has the device open gets I/O errors from then on. */
  async cut(survival: Survival, seed: number): Promise<CutCounts> {
    const [, writes, sectors, surviving] = (await this.#ask(`cut ${survival} ${seed}`))
      .split(' ')
      .map(Number);
    return { writes: writes ?? 0, sectors: sectors ?? 0, survivingSectors: surviving ?? 0 };
  }

  async #ask(command: string): Promise<string> {
    this.#process.stdin.write(`${command}\n`);
    const answer = await this.#lines.next();
    if (answer.done === true) throw new Error(`the volatile disk ended at "${command}"`);
    return answer.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#process;
    const ended = exitCode === null && signalCode === null ? once(this.#process, 'exit') : undefined;
    this.#process.stdin.end();
    await ended;
    this.#reader.close();
    await rm(this.#folder, { recursive: true });
  }
}
