import { describe, expect, test } from 'vitest';
import type { ExecChunk, ExecProcess } from '@microvm/runtime';
import { shellGuest } from './shell-guest.js';

/** An interactive shell: types, and reads what the terminal shows. */
class Session {
  readonly #process: ExecProcess;
  readonly #chunks: AsyncIterator<ExecChunk, undefined>;
  #shown = '';

  constructor(process: ExecProcess) {
    this.#process = process;
    this.#chunks = process[Symbol.asyncIterator]() as AsyncIterator<ExecChunk, undefined>;
  }

  type(text: string): void {
    this.#process.stdin.write(text);
  }

  /** Reads on until the terminal has shown this, and answers all that came before it. */
  async until(text: string): Promise<string> {
    for (;;) {
      const at = this.#shown.indexOf(text);
      if (at >= 0) {
        const before = this.#shown.slice(0, at);
        this.#shown = this.#shown.slice(at + text.length);
        return before;
      }
      const { done, value } = await this.#chunks.next();
      if (done === true) throw new Error(`the shell ended, and showed ${JSON.stringify(this.#shown)}`);
      this.#shown += value.data.toString();
    }
  }

  async end(): Promise<number | null> {
    for (;;) {
      const { done } = await this.#chunks.next();
      if (done === true) return (await this.#process.result).exitCode;
    }
  }
}

async function open(argv: [string, ...string[]] = ['sh']): Promise<Session> {
  const guest = await shellGuest();
  return new Session(guest.exec({ argv, pty: { cols: 80, rows: 24, term: 'vt100' } }));
}

describe('a shell on a terminal', () => {
  test('asks for each line, keeps its state, and ends with the last status', async () => {
    const shell = await open();
    await shell.until('/ # ');
    shell.type('cd /tmp; x=5\r');
    await shell.until('/tmp # ');
    shell.type('f() {\r');
    await shell.until('> ');
    shell.type('echo "x is $x"; }\r');
    await shell.until('/tmp # ');
    shell.type('f; tty; stty size\r');
    expect(await shell.until('/tmp # ')).toBe('f; tty; stty size\r\nx is 5\r\n/dev/pts/0\r\n24 80\r\n');
    shell.type('no-such-thing\r');
    await shell.until('not found\r\n/tmp # ');
    shell.type('\x04');
    expect(await shell.end()).toBe(127);
  });

  test('Ctrl-C ends the command that runs and not the shell', async () => {
    const shell = await open();
    await shell.until('/ # ');
    for (const endless of ['sleep 1000', 'while :; do :; done', 'cat', 'sleep 1000 | cat']) {
      shell.type(`${endless}\r`);
      await shell.until(`${endless}\r\n`);
      shell.type('\x03');
      await shell.until('^C');
      await shell.until('/ # ');
      shell.type('echo status $?\r');
      await shell.until('status 130\r\n/ # ');
    }
    shell.type('half a line\x03');
    await shell.until('^C\r\n/ # ');
    shell.type('exit 4\r');
    expect(await shell.end()).toBe(4);
  });

  test('an error ends a line and not the shell, and a here-document is read from its lines', async () => {
    const shell = await open();
    await shell.until('/ # ');
    shell.type('if true; fi\r');
    await shell.until('syntax error');
    await shell.until('/ # ');
    shell.type('cat <<END\r');
    await shell.until('> ');
    shell.type('inside\r');
    await shell.until('> ');
    shell.type('END\r');
    await shell.until('inside\r\n/ # ');
    shell.type('read answer\r');
    await shell.until('read answer\r\n');
    shell.type('typed\r');
    await shell.until('/ # ');
    shell.type('echo "[$answer]"; cat\r');
    await shell.until('[typed]\r\n');
    shell.type('to cat\r\x04');
    await shell.until('to cat\r\nto cat\r\n/ # ');
    shell.type('exit\r');
    expect(await shell.end()).toBe(0);
  });

  test('without a terminal it reads its commands from its input, and their input behind them', async () => {
    const guest = await shellGuest();
    const input = 'echo one\nread x\nvalue\necho "$x"\nfor i in 1 2; do\necho $i\ndone\nexit 3\n';
    const { stdout, exitCode } = await guest.exec({ argv: ['sh'], input }).result;
    expect([stdout.toString(), exitCode]).toEqual(['one\nvalue\n1\n2\n', 3]);
  });
});
