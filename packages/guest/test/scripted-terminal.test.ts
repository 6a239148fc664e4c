import { describe, expect, it } from 'vitest';
import type { ExecProcess } from '@microvm/runtime';
import type { ScriptedCommand } from '../src/scripted-command.js';
import { scriptedGuest } from './scripted-guest.js';

const SIZE = { cols: 80, rows: 24 };

/** Copies its input to the terminal, each piece in angle brackets. */
async function bracket({ stdin, stdout }: ScriptedCommand): Promise<number> {
  for await (const piece of stdin) await stdout(`<${piece.toString()}>`);
  return 0;
}

async function onTerminal(
  exec: (command: ScriptedCommand) => Promise<number>,
  input?: string,
): Promise<ExecProcess> {
  const { client } = await scriptedGuest({ exec });
  return client.exec({
    argv: ['x'],
    pty: { ...SIZE, term: 'vt100' },
    ...(input === undefined ? {} : { input }),
  });
}

/** What is shown when this was typed, and then Ctrl-D where it does not end by itself. */
async function shown(input: string, exec = bracket): Promise<string> {
  const { stdout } = await (await onTerminal(exec, input)).result;
  return stdout.toString();
}

describe('the terminal of a scripted guest', () => {
  it.each([
    ['echoes a line and hands it over whole', 'ab\r', 'ab\r\n<ab\r\n>'],
    ['erases a character, all of its bytes', 'aé\u007fb\n', 'aé\b \bb\r\n<ab\r\n>'],
    ['erases nothing at the begin of a line', '\u007fb\n', 'b\r\n<b\r\n>'],
    [
      'erases a word and a line',
      'one two\u0017x\u0015y\n',
      `one two${'\b \b'.repeat(3)}x${'\b \b'.repeat(5)}y\r\n<y\r\n>`,
    ],
    ['hands over an unfinished line at the end', 'ab', 'ab<ab>'],
    ['ends the input by Ctrl-D', '\u0004never', 'never'],
    ['shows a control character as it is called', '\u0001\n', '^A\r\n<\u0001\r\n>'],
  ])('%s', async (_what, typed, text) => {
    expect(await shown(typed)).toBe(text);
  });

  it('hands bytes on as they come while it is raw', async () => {
    const text = await shown('\u0003a\r', async (command) => {
      command.terminal?.setRaw(true);
      return bracket(command);
    });
    expect(text).toMatch(/<.*\u0003.*a\r>/s);
    expect(text).not.toContain('^C');
  });

  it.each([
    ['\u0003', 'SIGINT', '^C'],
    ['\u001c', 'SIGQUIT', '^\\'],
  ])('ends a command that does not read by %j', async (key, signal, echo) => {
    const process = await onTerminal(
      ({ signal: end }) => new Promise((_, reject) => end.addEventListener('abort', reject)),
    );
    process.stdin.write(key);
    expect(await process.result).toMatchObject({ exitCode: null, signal, stdout: Buffer.from(echo) });
  });

  it('tells the script its kind, its size and each new one', async () => {
    const process = await onTerminal(async ({ terminal, stdin, stdout }) => {
      const changes: string[] = [];
      terminal?.onResize(({ cols, rows }) => changes.push(`${cols}x${rows}`));
      for await (const line of stdin) {
        if (line.length > 0) break;
      }
      await stdout([terminal?.term, terminal?.cols, terminal?.rows, ...changes].join(' '));
      return 0;
    });
    process.resize({ cols: 100, rows: 30 });
    process.resize({ cols: 132, rows: 50 });
    process.stdin.end('\n');
    expect((await process.result).stdout.toString()).toBe('\r\nvt100 132 50 100x30 132x50');
  });

  it('keeps little of what is typed to a command that does not read', async () => {
    const process = await onTerminal(
      ({ signal: end }) => new Promise((_, reject) => end.addEventListener('abort', reject)),
    );
    const line = `${'x'.repeat(1000)}\n`;
    let sent = 0;
    while (process.stdin.write(line) && sent < 10_000) sent += 1;
    expect(sent).toBeLessThan(1000);
    await process.kill('SIGKILL');
  });
});
