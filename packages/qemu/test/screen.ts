import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync, type WriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PtySize } from '@microvm/runtime';

/**
 * A terminal that draws what it is fed, and tells what stands on it: a tmux of its own, with one pane that
 * shows a FIFO.
 */
export class Screen {
  readonly #folder = mkdtempSync(join(tmpdir(), 'microvm-screen-'));
  readonly #pane: WriteStream;

  constructor({ cols, rows }: PtySize) {
    const fifo = join(this.#folder, 'shown');
    execFileSync('mkfifo', [fifo]);
    const show = `stty raw -echo; exec cat '${fifo}'`;
    this.#tmux(
      'new-session',
      '-d',
      '-x',
      `${cols}`,
      '-y',
      `${rows}`,
      show,
      ';',
      'set',
      '-g',
      'status',
      'off',
    );
    this.#pane = createWriteStream(fifo);
  }

  show(data: Buffer): void {
    this.#pane.write(data);
  }

  resize({ cols, rows }: PtySize): void {
    this.#tmux('resize-window', '-x', `${cols}`, '-y', `${rows}`);
  }

  /** Its lines, without the white space behind each and without the empty ones at its end. */
  lines(): string[] {
    const lines = this.#tmux('capture-pane', '-p').split('\n');
    const trimmed = lines.map((line) => line.trimEnd());
    return trimmed.slice(0, trimmed.findLastIndex((line) => line !== '') + 1);
  }

  close(): void {
    // First: without its pane the server would end by itself.
    this.#tmux('kill-server');
    this.#pane.destroy();
    rmSync(this.#folder, { recursive: true });
  }

  #tmux(...args: string[]): string {
    const own = ['-S', join(this.#folder, 'tmux'), '-f', '/dev/null'];
    return execFileSync('tmux', [...own, ...args], { encoding: 'utf8', env: { ...process.env, TMUX: '' } });
  }
}
