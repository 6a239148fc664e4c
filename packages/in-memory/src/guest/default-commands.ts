import { ScriptedErrno } from '@microvm/guest';
import { onAbort, untilAborted } from '@microvm/runtime';
import { accountOf } from './accounts.js';
import type { CommandEnd, GuestCommand, ScriptedGuest } from './guest-script.js';
import type { ProgramName } from '../programs/program-names.js';

type Command = (command: GuestCommand, guest: ScriptedGuest) => Promise<CommandEnd>;

const MS_PER_SECOND = 1000;

/** A command that writes one text and ends well. */
function says(text: (command: GuestCommand, guest: ScriptedGuest) => string): Command {
  return async (command, guest) => {
    await command.stdout(text(command, guest));
    return 0;
  };
}

async function fail(command: GuestCommand, message: string, exitCode = 1): Promise<number> {
  await command.stderr(`${command.argv[0]}: ${message}\n`);
  return exitCode;
}

async function copyInput(
  command: GuestCommand,
  write: (bytes: Buffer) => Promise<void> | void,
): Promise<void> {
  for await (const bytes of command.stdin) await write(bytes);
}

const cat: Command = async (command, guest) => {
  const [, ...paths] = command.argv;
  if (paths.length === 0) await copyInput(command, (bytes) => command.stdout(bytes));
  for (const path of paths) {
    const content = guest.disk()?.read(path);
    if (content === undefined) return fail(command, `${path}: No such file or directory`);
    await command.stdout(content);
  }
  return 0;
};

const tee: Command = async (command, guest) => {
  const [, ...paths] = command.argv;
  const chunks: Buffer[] = [];
  await copyInput(command, async (bytes) => {
    chunks.push(bytes);
    await command.stdout(bytes);
  });
  for (const path of paths) guest.disk()?.write(path, Buffer.concat(chunks));
  return 0;
};

const rm: Command = async (command, guest) => {
  const [, ...paths] = command.argv;
  for (const path of paths) {
    if (guest.disk()?.remove(path) !== true) return fail(command, `${path}: No such file or directory`);
  }
  return 0;
};

const sleep: Command = async (command, guest) => {
  const seconds = Number(command.argv[1]);
  if (!(seconds >= 0)) return fail(command, `invalid time interval "${command.argv[1] ?? ''}"`);
  await guest.sleep(seconds * MS_PER_SECOND, command.signal);
  return 0;
};

const counter: Command = async (command, { memory }) => {
  const before = memory['counter'];
  const count = typeof before === 'number' ? before + 1 : 1;
  memory['counter'] = count;
  await command.stdout(`${count}\n`);
  return 0;
};

/** No shell: simple commands behind each other, `exit N` and `read NAME` among them. */
const sh: Command = async (command, guest) => {
  const [, option, line = ''] = command.argv;
  if (option !== '-c') return fail(command, 'only `sh -c COMMAND`, in memory', 2);
  if (/[^\w\s./:=,@%+;-]/.test(line)) return fail(command, 'only simple commands, in memory', 2);
  let end: CommandEnd = 0;
  for (const simple of line.split(';')) {
    const [program = 'true', ...args] = simple.trim().split(/\s+/).filter(Boolean);
    if (program === 'exit') return Number(args[0] ?? 0) & 0xff;
    if (program === 'read') {
      // Not by a loop, whose end would close the input for the commands behind it.
      const { done } = await command.stdin[Symbol.asyncIterator]().next();
      end = done === true ? 1 : 0;
      continue;
    }
    const ran = await runDefaultCommand({ ...command, argv: [program, ...args] }, guest);
    end = ran ?? (await fail(command, `${program}: not found`, 127));
  }
  return end;
};

/**
 * Only `nc -l -p PORT`, for one connection, and `nc HOST PORT`, to where the host listens. When it is killed
 * it resets the connection, as a killed program does.
 */
const nc: Command = async (command, guest) => {
  const [, first, second, port] = command.argv;
  const isServer = first === '-l' && second === '-p';
  if (!isServer && (first === undefined || !/^\d+$/.test(second ?? '')))
    return fail(command, 'only `nc -l -p PORT` and `nc HOST PORT`, in memory');
  const opening = isServer
    ? guest.listen(Number(port), command.signal)
    : guest.dial({ host: first ?? '', port: Number(second) }, command.signal);
  const socket = await opening.catch((error: unknown) => {
    if (!(error instanceof ScriptedErrno)) throw error;
  });
  if (socket === undefined) return fail(command, `can't connect to remote host: Connection refused`);
  onAbort(command.signal, () => socket.reset());
  void copyInput(command, (bytes) => socket.write(bytes)).then(() => socket.close());
  for await (const bytes of socket.input) await command.stdout(bytes);
  socket.close();
  return 0;
};

const id: Command = async (command) => {
  const { uid, gid } = accountOf(command);
  const fields: Readonly<Record<string, string>> = { '-u': `${uid}`, '-g': `${gid}`, '-G': `${gid}` };
  const [, option] = command.argv;
  const text = option === undefined ? `uid=${uid} gid=${gid} groups=${gid}` : fields[option];
  if (text === undefined) return fail(command, `unknown option ${option ?? ''}`);
  await command.stdout(`${text}\n`);
  return 0;
};

/** Only `stty size`. */
const stty: Command = async (command) => {
  const { terminal } = command;
  if (terminal === undefined) return fail(command, 'standard input: Inappropriate ioctl for device');
  if (command.argv[1] !== 'size') return fail(command, 'only `stty size`, in memory');
  await command.stdout(`${terminal.rows} ${terminal.cols}\n`);
  return 0;
};

const tty: Command = async (command) => {
  await command.stdout(command.terminal === undefined ? 'not a tty\n' : '/dev/pts/0\n');
  return command.terminal === undefined ? 1 : 0;
};

const UNAME_FIELDS: Readonly<Record<string, (guest: ScriptedGuest) => string>> = {
  '-s': () => 'Linux',
  '-n': (guest) => guest.hostname,
  '-r': (guest) => guest.kernelRelease,
  '-m': () => 'x86_64',
  '-a': (guest) => `Linux ${guest.hostname} ${guest.kernelRelease} #1 SMP x86_64 GNU/Linux`,
};

const uname: Command = async (command, guest) => {
  const field = UNAME_FIELDS[command.argv[1] ?? '-s'];
  if (field === undefined) return fail(command, `unknown option ${command.argv[1] ?? ''}`);
  await command.stdout(`${field(guest)}\n`);
  return 0;
};

/** Ends the guest: the command itself never ends, it goes with the guest. */
function ends(act: (guest: ScriptedGuest) => void): Command {
  return async (command, guest) => {
    act(guest);
    await untilAborted(new Promise(() => undefined), command.signal);
    return 0;
  };
}

const COMMANDS: Readonly<Record<ProgramName, Command>> = {
  true: async () => 0,
  false: async () => 1,
  echo: says(({ argv }) => `${argv.slice(1).join(' ')}\n`),
  pwd: says(({ cwd }) => `${cwd}\n`),
  env: says(({ env }) =>
    Object.entries(env)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  ),
  date: says((_, guest) => `${new Date(guest.now()).toISOString()}\n`),
  hostname: says((_, guest) => `${guest.hostname}\n`),
  sync: async () => 0,
  cat,
  tee,
  rm,
  sleep,
  counter,
  sh,
  id,
  nc,
  stty,
  tty,
  uname,
  poweroff: ends((guest) => guest.powerOff()),
  reboot: ends((guest) => guest.reboot()),
};

/** Runs a command that every guest has; `undefined` for one that none has. */
export async function runDefaultCommand(
  command: GuestCommand,
  guest: ScriptedGuest,
): Promise<CommandEnd | undefined> {
  const name = command.argv[0].replace(/^(\/usr)?\/s?bin\//, '');
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name as ProgramName](command, guest) : undefined;
}
