import { forEachChild, parse, type ParsedScript, type SyntaxNode } from 'unbash';
import { CommandInput } from '../process/command-files.js';
import { statusOf } from '../process/status.js';
import { ShellError } from './shell-error.js';
import { Shell } from './shell.js';

const MOST_LINE_BYTES = 1 << 20;

/** Bytes up to the end of a line, none beyond it: what follows is for the commands. Undefined at the end. */
async function readLine(shell: Shell): Promise<string | undefined> {
  const file = shell.state.descriptors.get(0);
  const bytes: number[] = [];
  for (;;) {
    const [byte] = (await file?.read({ max: 1, signal: shell.process.signal })) ?? [];
    if (byte === undefined && bytes.length === 0) return undefined;
    if (byte !== undefined) bytes.push(byte);
    if (byte === undefined || byte === 0x0a) return Buffer.from(bytes).toString();
    if (bytes.length > MOST_LINE_BYTES) throw new ShellError('a line that is too long');
  }
}

/** Whether more lines could make a text whole: it ends within a quote, a list or a here-document. */
function isUnfinished(text: string, script: ParsedScript): boolean {
  const { errors } = script;
  if (/(^|[^\\])(\\\\)*\\\n$/.test(text)) return true;
  if (errors === undefined) return hasOpenHereDocument(script);
  return errors.some(({ message, pos }) => pos >= text.length || message.startsWith('unterminated'));
}

function hasOpenHereDocument(node: SyntaxNode): boolean {
  if (node.type === 'HereDoc') return node.closing === undefined;
  let isOpen = false;
  forEachChild(node, (child) => {
    isOpen ||= hasOpenHereDocument(child);
  });
  return isOpen;
}

/**
 * Runs commands as their lines come. An interactive shell asks for each line; there Ctrl-C ends the command
 * that runs and not the shell, and an error ends a line.
 */
export async function runLines(
  shell: Shell,
  { isInteractive }: { readonly isInteractive: boolean },
): Promise<number> {
  const { state, process } = shell;
  const input = state.descriptors.get(0);
  const terminal = input instanceof CommandInput ? input.terminal : undefined;
  let runningPid: number | undefined;
  let text = '';
  if (isInteractive) {
    terminal?.takeSignals((name) => {
      if (runningPid !== undefined) process.system.kill(runningPid, name);
      else if (name === 'SIGINT') {
        text = '';
        void prompt(shell, '\n');
      }
      return true;
    });
  }
  try {
    for (;;) {
      if (isInteractive && text === '') await prompt(shell);
      const line = await readLine(shell);
      if (line === undefined && text === '') return state.lastStatus;
      text += line ?? '';
      const script = parse(text);
      if (line !== undefined && isUnfinished(text, script)) {
        if (isInteractive) await say(shell, state.get('PS2') ?? '> ');
        continue;
      }
      text = '';
      const end = await process.system.inProcess(process.signal, async (own) => {
        runningPid = own.pid;
        const inLine = new Shell({ ...process, ...partsOf(process), signal: own.signal }, state);
        return isInteractive ? forgiving(inLine, script) : inLine.runScript(script);
      });
      runningPid = undefined;
      state.lastStatus = statusOf(end);
      if (typeof end !== 'number' && isInteractive) await say(shell, '\n');
    }
  } finally {
    terminal?.takeSignals(undefined);
  }
}

function partsOf({ pid, system, account, files }: Shell['process']) {
  return { pid, system, account, files };
}

/** An error of the shell itself ends the line and not the shell. */
async function forgiving(shell: Shell, script: ParsedScript): Promise<number> {
  try {
    return await shell.runScript(script);
  } catch (error) {
    if (!(error instanceof ShellError)) throw error;
    await shell.complain(error.message);
    return error.exitCode;
  }
}

async function prompt(shell: Shell, before = ''): Promise<void> {
  const mark = shell.process.account.uid === 0 ? '# ' : '$ ';
  await say(shell, before + (shell.state.get('PS1') ?? `${shell.state.cwd} ${mark}`));
}

/** On the standard error, as shells do. */
async function say(shell: Shell, text: string): Promise<void> {
  await shell.state.descriptors.get(2)?.write(Buffer.from(text), shell.process.signal);
}
