import { extname } from 'node:path';
import { cppSignalCalls } from './signal-calls-cpp.mjs';
import { isShell, shellGroupKills } from './signal-calls-shell.mjs';
import { scriptSignalCalls } from './signal-calls-script.mjs';

/**
 * The calls in a source file that could signal a process which is not ours: a pid of 0 is the caller's own
 * process group, -1 is every process, any other negative number is a group, and a variable may hold any of
 * these. Signal 0 only asks, and a process may signal itself, so neither counts.
 *
 * @returns {{ line: number, call: string }[]} the line, counted from 1, and the text of the call in one line
 */
export function signalCalls(path, text) {
  if (!/kill\b|killpg|killall|sigqueue/.test(text)) return [];
  const extension = extname(path);
  if (/^\.[cm]?[jt]s$/.test(extension)) return scriptSignalCalls(path, text);
  if (/^\.(cc|c|h)$/.test(extension)) return cppSignalCalls(text);
  if (extension === '.json' || isShell(path, text)) return shellCalls(text);
  return [];
}

function shellCalls(text) {
  return text
    .split('\n')
    .flatMap((line, index) => shellGroupKills(line).map((call) => ({ line: index + 1, call })));
}
