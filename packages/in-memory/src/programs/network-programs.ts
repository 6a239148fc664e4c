import { onAbort } from '@microvm/runtime';
import type { ScriptedConnection } from '../guest/guest-script.js';
import type { Process } from '../process/process.js';
import { dialed } from './dialed.js';
import { curl, wget } from './http-programs.js';
import { optionsOf, UsageError, wholeNumber } from './options.js';
import type { Program, Programs } from './registry.js';

/** Copies both ways until both are over. */
async function talk(process: Process, socket: ScriptedConnection, isOver: () => boolean): Promise<void> {
  const sending = (async () => {
    for await (const bytes of process.chunks(process.descriptor(0))) await socket.write(bytes);
    socket.close();
  })();
  sending.catch(() => undefined); // the other end is gone, or the process is
  for await (const bytes of socket.input) {
    if (isOver()) return;
    await process.write(bytes);
  }
}

/**
 * `nc -l -p PORT` takes one connection; `nc HOST PORT` makes one within the guest. Killed, it resets the
 * connection, as a program with unread input does.
 */
const nc: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'lp:w:nvzNq:');
  if (flags.has('l')) {
    const port = wholeNumber(values.get('p') ?? operands.at(-1) ?? '');
    const socket = await process.guest.listen(port, process.signal);
    const stop = onAbort(process.signal, () => socket.reset());
    await talk(process, socket, () => false);
    socket.close();
    stop();
    return 0;
  }
  const [host, port] = operands.length === 1 ? ['127.0.0.1', operands[0]] : operands;
  if (host === undefined || port === undefined) throw new UsageError('usage: nc [-l -p PORT] [HOST PORT]');
  const socket = await dialed(process, { host, port: wholeNumber(port) });
  if (socket === undefined)
    return process.complain(`can't connect to remote host (${host}): Connection refused`);
  if (flags.has('z')) {
    socket.close();
    return 0;
  }
  const stop = onAbort(process.signal, () => socket.reset());
  await talk(process, socket, () => false);
  stop();
  return 0;
};

/** Only what listens: `netstat -ltn`. */
const netstat: Program = async (process) => {
  const lines = process.guest
    .listeningPorts()
    .map((port) => `tcp        0      0 0.0.0.0:${String(port).padEnd(15)} 0.0.0.0:*               LISTEN\n`);
  const title = 'Proto Recv-Q Send-Q Local Address           Foreign Address         State\n';
  await process.write(`Active Internet connections (only servers)\n${title}${lines.join('')}`);
  return 0;
};

export const NETWORK_PROGRAMS: Programs<'network'> = { curl, nc, netstat, wget };
