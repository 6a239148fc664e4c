import type { ParsedScript, Pipeline, Statement } from 'unbash';
import type { CommandEnd } from '../guest/guest-script.js';
import { createPipe } from '../process/pipe.js';
import { MAX_HELD_BYTES } from '../process/process.js';
import { emptyFile } from '../process/regular-file.js';
import { statusOf } from '../process/status.js';
import { checkSyntax, ShellError } from './shell-error.js';
import type { Shell } from './shell.js';

export async function pipe(shell: Shell, { commands, operators }: Pipeline): Promise<number> {
  const ends: Promise<CommandEnd>[] = [];
  let input = undefined as ReturnType<typeof createPipe>[0] | undefined;
  for (const [index, command] of commands.entries()) {
    const descriptors = shell.state.retained();
    const put = (number: number, file: NonNullable<typeof input>): void => {
      descriptors.get(number)?.release();
      descriptors.set(number, file);
    };
    if (input !== undefined) put(0, input);
    input = undefined;
    if (index < commands.length - 1) {
      const [reader, writer] = createPipe();
      input = reader;
      put(1, writer);
      if (operators[index] === '|&') put(2, writer.retain());
    }
    ends.push(shell.subshell(descriptors, (inner) => inner.run(command)));
  }
  const statuses = (await Promise.all(ends)).map(statusOf);
  const failed = statuses.findLast((status) => status !== 0);
  return (shell.state.options.pipefail ? failed : statuses.at(-1)) ?? 0;
}

export function startInBackground(shell: Shell, node: Statement['command']): number {
  const descriptors = shell.state.retained();
  descriptors.get(0)?.release();
  descriptors.set(0, emptyFile());
  const { system } = shell.process;
  let started: number | undefined;
  const ended = shell.subshell(
    descriptors,
    (inner) => {
      started = inner.process.pid;
      return inner.run(node);
    },
    system.signal,
  );
  // A script's error has ended all of it; any other is nobody's who waits.
  const status = ended.then(statusOf).catch(() => 1);
  if (started === undefined) return 2;
  const pid = started;
  shell.state.lastBackgroundPid = pid;
  shell.state.jobs.set(pid, { pid, status });
  return 0;
}

export async function capture(shell: Shell, script: ParsedScript | undefined): Promise<string> {
  if (script === undefined) return '';
  checkSyntax(script);
  const [reader, writer] = createPipe();
  const descriptors = shell.state.retained();
  descriptors.get(1)?.release();
  descriptors.set(1, writer);
  const ended = shell.subshell(descriptors, (inner) => inner.runScript(script));
  const pieces: Buffer[] = [];
  let size = 0;
  const { signal } = shell.process;
  const reading = (async () => {
    for (;;) {
      const chunk = await reader.read({ signal });
      if (chunk === undefined) return;
      size += chunk.length;
      if (size > MAX_HELD_BYTES) throw new ShellError('the output of a command is too long');
      pieces.push(chunk);
    }
  })().finally(() => reader.release());
  const [end] = await Promise.all([ended, reading]);
  shell.captured = statusOf(end);
  return Buffer.concat(pieces).toString().replaceAll('\0', '').replace(/\n+$/, '');
}
