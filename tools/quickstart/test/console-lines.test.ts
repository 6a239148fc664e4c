import { expect, it } from 'vitest';
import { consoleLines } from '../src/console-lines.js';

async function linesOf(...pieces: string[]): Promise<string[]> {
  async function* output(): AsyncGenerator<string> {
    yield* pieces;
  }
  const lines: string[] = [];
  for await (const line of consoleLines(output())) lines.push(line);
  return lines;
}

it('puts lines together that came in pieces', async () => {
  expect(await linesOf('[ 0.1] Li', 'nux\r\n[ 0.2] ', 'Run /init\r\nlo', 'gin:')).toEqual([
    '[ 0.1] Linux',
    '[ 0.2] Run /init',
    'login:',
  ]);
});

it('lets no control character of the guest reach the terminal', async () => {
  expect(await linesOf('\u001b[2J\u001b[31mred\u001b[0m\u0007 \u0000tab\there\n')).toEqual(['red tab\there']);
  expect(await linesOf('\u001b]0;title\u0007 and \u009b2J\n')).toEqual([']0;title and 2J']);
});
