import { onAbort, signalName, signalNumber } from '@microvm/runtime';
import type { Process } from '../process/process.js';
import { statusOf } from '../process/status.js';
import { UsageError } from './options.js';
import type { Program, Programs } from './registry.js';
import { runNamed } from './run-named.js';

const MS_PER_SECOND = 1000;
const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

function milliseconds(text: string): number {
  const [, digits, unit = ''] = /^(\d+\.?\d*|\.\d+)([smhd]?)$/.exec(text) ?? [];
  if (digits === undefined) throw new UsageError(`invalid time interval '${text}'`);
  return Number(digits) * (UNITS[unit] ?? 1) * MS_PER_SECOND;
}

const sleep: Program = async (process) => {
  if (process.args.length === 0) throw new UsageError('a time interval is missing');
  const ms = process.args.reduce((sum, text) => sum + milliseconds(text), 0);
  await process.guest.sleep(ms, process.signal);
  return 0;
};

function signalOf(text: string): string {
  const name = /^\d+$/.test(text)
    ? signalName(Number(text))
    : `SIG${text.replace(/^SIG/i, '').toUpperCase()}`;
  if (text !== '0' && signalNumber(name) === undefined) throw new UsageError(`bad signal '${text}'`);
  return name;
}

/** Reaches the processes of its own command: others have numbers of their own. */
const kill: Program = async (process) => {
  const args = [...process.args];
  let signal = 'SIGTERM';
  if (args[0] === '-l') {
    await process.write(Array.from({ length: 31 }, (_, at) => `${signalName(at + 1).slice(3)}\n`).join(''));
    return 0;
  }
  const [first = ''] = args;
  if (first === '-s')
    [, signal] = args.splice(0, 2).map((word, at) => (at === 0 ? word : signalOf(word))) as [string, string];
  else if (/^-./.test(first) && first !== '--') signal = signalOf((args.shift() ?? '').slice(1));
  if (args[0] === '--') args.shift();
  if (args.length === 0) throw new UsageError('a process is missing');
  const isLook = signal === signalName(0);
  let status = 0;
  for (const text of args) {
    const pid = Number(text);
    const isThere = isLook ? process.system.has(pid) : process.system.kill(pid, signal);
    if (!isThere) status = await process.complain(`can't kill pid ${text}: No such process`);
  }
  return status;
};

/** `timeout [-s SIGNAL] [-k TIME] TIME PROGRAM [ARG]…`: 124 when the time was up. */
const timeout: Program = async (process) => {
  const args = [...process.args];
  let signal = 'SIGTERM';
  while (args[0]?.startsWith('-') === true) {
    const option = args.shift();
    if (option === '-s') signal = signalOf(args.shift() ?? '');
    else if (option === '-k')
      args.shift(); // nothing in memory survives the first signal
    else throw new UsageError(`unrecognized option: ${option ?? ''}`);
  }
  const [time, program, ...rest] = args;
  if (time === undefined || program === undefined) throw new UsageError('a time and a program are missing');
  return within(process, { ms: milliseconds(time), signal, argv: [program, ...rest] });
};

async function within(
  process: Process,
  what: { readonly ms: number; readonly signal: string; readonly argv: readonly [string, ...string[]] },
): Promise<number> {
  const timer = new AbortController();
  const killer = new AbortController();
  const stop = onAbort(process.signal, () => {
    timer.abort(process.signal.reason);
    killer.abort(process.signal.reason);
  });
  let isUp = false;
  const sleeping = process.guest.sleep(what.ms, timer.signal).then(
    () => {
      isUp = true;
      killer.abort(what.signal);
    },
    () => undefined, // the program ended first
  );
  try {
    const end = await runNamed(process, what.argv, { signal: killer.signal });
    return isUp ? 124 : statusOf(end);
  } finally {
    timer.abort();
    stop();
    await sleeping;
  }
}

/** A hang-up reaches nothing in memory that a kill would not: it only runs the program. */
const nohup: Program = async (process) => {
  const [program, ...args] = process.args;
  if (program === undefined) throw new UsageError('a program is missing');
  return runNamed(process, [program, ...args]);
};

export const PROCESS_PROGRAMS: Programs<'processes'> = { kill, nohup, sleep, timeout };
