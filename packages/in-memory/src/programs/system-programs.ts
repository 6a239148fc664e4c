import { untilAborted } from '@microvm/runtime';
import type { ScriptedGuest } from '../guest/guest-script.js';
import type { Process } from '../process/process.js';
import { dateText } from './date-format.js';
import { optionsOf, UsageError } from './options.js';
import type { Program, Programs } from './registry.js';

/** A program that writes one line and ends well. */
function says(text: (process: Process) => string): Program {
  return async (process) => {
    await process.write(`${text(process)}\n`);
    return 0;
  };
}

const counter: Program = async (process) => {
  const { memory } = process.guest;
  const before = memory['counter'];
  const count = typeof before === 'number' ? before + 1 : 1;
  memory['counter'] = count;
  await process.write(`${count}\n`);
  return 0;
};

const id: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'ugGnr');
  const [name] = operands;
  const account = name === undefined ? process.account : process.system.accountNamed(name);
  const { uid, gid, groups } = account;
  const { system } = process;
  const user = (value: number): string => (flags.has('n') ? system.userName(value) : String(value));
  const group = (value: number): string => (flags.has('n') ? system.groupName(value) : String(value));
  const all = [...new Set([gid, ...groups])];
  const named = (value: number, text: string): string =>
    text === String(value) ? text : `${value}(${text})`;
  const text = flags.has('u')
    ? user(uid)
    : flags.has('g')
      ? group(gid)
      : flags.has('G')
        ? all.map(group).join(' ')
        : `uid=${named(uid, system.userName(uid))} gid=${named(gid, system.groupName(gid))} groups=${all.map((value) => named(value, system.groupName(value))).join(',')}`;
  await process.write(`${text}\n`);
  return 0;
};

const whoami: Program = says(({ system, account }) => system.userName(account.uid));

/** Only `size`, `raw` and `sane`; others are taken and change nothing. */
const stty: Program = async (process) => {
  const terminal = process.terminalAt(0);
  if (terminal === undefined) return process.complain('standard input: Inappropriate ioctl for device');
  for (const word of process.args) {
    if (word === 'size') await process.write(`${terminal.rows} ${terminal.cols}\n`);
    if (word === 'raw') terminal.setRaw(true);
    if (word === 'sane' || word === '-raw' || word === 'cooked') terminal.setRaw(false);
  }
  return 0;
};

const tty: Program = async (process) => {
  const isThere = process.terminalAt(0) !== undefined;
  await process.write(isThere ? '/dev/pts/0\n' : 'not a tty\n');
  return isThere ? 0 : 1;
};

const UNAME_FIELDS: readonly (readonly [letter: string, text: (guest: ScriptedGuest) => string])[] = [
  ['s', () => 'Linux'],
  ['n', (guest) => guest.hostname],
  ['r', (guest) => guest.kernelRelease],
  ['v', () => '#1 SMP'],
  ['m', () => 'x86_64'],
  ['o', () => 'GNU/Linux'],
];

const uname: Program = async (process) => {
  const { flags } = optionsOf(process, 'asnrvmop');
  const chosen = UNAME_FIELDS.filter(([letter]) => flags.has('a') || flags.has(letter));
  const fields = chosen.length === 0 ? UNAME_FIELDS.slice(0, 1) : chosen;
  await process.write(`${fields.map(([, text]) => text(process.guest)).join(' ')}\n`);
  return 0;
};

const date: Program = async (process) => {
  const { operands, values, flags } = optionsOf(process, 'ud:R');
  const given = values.get('d');
  const ms =
    given === undefined
      ? process.guest.now()
      : /^@\d+$/.test(given)
        ? Number(given.slice(1)) * 1000
        : Date.parse(given);
  if (Number.isNaN(ms)) throw new UsageError(`invalid date '${given ?? ''}'`);
  const [format = flags.has('R') ? '+%a, %d %b %Y %H:%M:%S +0000' : undefined] = operands;
  await process.write(
    `${format === undefined ? new Date(ms).toISOString() : dateText(format.slice(1), ms)}\n`,
  );
  return 0;
};

/** Ends the guest: the program itself never ends, it goes with the guest. */
function ends(act: (guest: ScriptedGuest) => void): Program {
  return async (process) => {
    act(process.guest);
    await untilAborted(new Promise(() => undefined), process.signal);
    return 0;
  };
}

export const SYSTEM_PROGRAMS: Programs<'system'> = {
  counter,
  date,
  hostname: says(({ guest }) => guest.hostname),
  id,
  nproc: says(() => '1'),
  poweroff: ends((guest) => guest.powerOff()),
  reboot: ends((guest) => guest.reboot()),
  stty,
  sync: async () => 0,
  tty,
  uname,
  uptime: says(({ guest }) => ` ${new Date(guest.now()).toISOString().slice(11, 19)} up`),
  whoami,
};
