import { open } from 'node:fs/promises';
import { printable } from '@microvm/runtime';
import { ignoreMissing } from '../host/system-error.js';
import { LOG_FILES, logPath } from './log-files.js';

const VMM_LINES = 10;
const CONSOLE_LINES = 20;
const BYTES_PER_LINE = 400;
// A panic is followed by a trace that is longer than what is kept.
const CAUSE = /Kernel panic - not syncing|\bBUG: |\bOops: /;

/** The end of the VMM's log and of the console, oldest first; nothing where there is no file. */
export async function lastLogLines(directory: string): Promise<readonly string[]> {
  const [vmm, serial] = await Promise.all([
    tailLines(logPath(directory, 'vmmLog'), VMM_LINES),
    tailLines(logPath(directory, 'console'), CONSOLE_LINES),
  ]);
  const causes = serial.slice(0, -CONSOLE_LINES).filter((line) => CAUSE.test(line));
  const lastVmm = vmm.slice(-VMM_LINES).map((line) => `${LOG_FILES.vmmLog}: ${line}`);
  return [...lastVmm, ...causes, ...serial.slice(-CONSOLE_LINES)];
}

/** The end of what the guest wrote to its console, at most so many bytes, none before the byte `from`. */
export function consoleTail(directory: string, bytes: number, from = 0): Promise<string> {
  return tail(logPath(directory, 'console'), bytes, from);
}

/** More than the count, where lines are short. */
async function tailLines(path: string, count: number): Promise<string[]> {
  const text = await tail(path, count * BYTES_PER_LINE);
  const lines = text.split(/\r?\n/).map(plain);
  return lines.filter((line) => line !== '');
}

/**
 * A log line goes into errors and terminals. Colours go, since most of them are the guest's own doing and
 * harmless; so do the zeros that a log begins with whose front was given back. Every other control character
 * is shown for what it is.
 */
function plain(line: string): string {
  const text = line.replace(/\u001b\[[0-9;?]*[A-Za-z]|\u0000+/g, '').trimEnd();
  return printable(text, BYTES_PER_LINE);
}

async function tail(path: string, bytes: number, from = 0): Promise<string> {
  const file = await open(path, 'r').catch(ignoreMissing);
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const start = Math.min(size, Math.max(from, size - bytes));
    const buffer = Buffer.alloc(size - start);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
