import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { TemporaryFolder } from '../temporary-folder.js';
import { execByHand } from './agent-session.js';

const run = promisify(execFile);
const CONNECT_EVERY_MS = 2;
const GIVE_UP_AFTER_MS = 120_000;

/**
 * QEMU's command line as our runtime uses it, made fit for a start by hand: sockets by path instead of by
 * descriptor.
 */
export interface HandCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** Files of the VM's folder that the command line names: copied for each start, as the runtime does. */
  readonly disks: readonly { readonly name: string; readonly source: string }[];
}

/** Reads the command line of a living QEMU of ours. */
export async function readCommand(pid: number): Promise<Pick<HandCommand, 'file' | 'args'>> {
  const [file = '', ...args] = (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8'))
    .split('\0')
    .slice(0, -1);
  return { file, args: args.map(withSocketPath) };
}

function withSocketPath(arg: string): string {
  return arg.replace(/^socket,id=([a-z]+),fd=\d+,/, 'socket,id=$1,path=$1.sock,');
}

/**
 * Starts QEMU with nothing around it, runs one command in the guest and ends it. Answers with the
 * milliseconds to its exit code.
 */
export async function bootByHand(command: HandCommand, argv: readonly string[]): Promise<number> {
  await using folder = await TemporaryFolder.make();
  let qemu: ChildProcess | undefined;
  try {
    const startedAt = performance.now();
    for (const { name, source } of command.disks) await copyDisk(source, join(folder.path, name));
    qemu = spawn(command.file, command.args, { cwd: folder.path, stdio: ['ignore', 'ignore', 'pipe'] });
    const socket = await connectSoon(join(folder.path, 'agent.sock'), qemu);
    const exitCode = await Promise.race([execByHand(socket, argv), tooLate(qemu)]);
    const tookMs = performance.now() - startedAt;
    socket.destroy();
    if (exitCode !== 0) throw new Error(`run ${argv.join(' ')} by hand: exit code ${String(exitCode)}`);
    return tookMs;
  } finally {
    await end(qemu);
  }
}

/** As one would by hand; the folder may be missing as well. */
async function copyDisk(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await run('cp', ['--reflink=auto', '--sparse=always', from, to]);
}

async function connectSoon(path: string, qemu: ChildProcess): Promise<Socket> {
  let stderr = '';
  qemu.stderr?.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  for (;;) {
    if (qemu.exitCode !== null)
      throw new Error(`QEMU by hand exited with ${String(qemu.exitCode)}: ${stderr}`);
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch {
      await delay(CONNECT_EVERY_MS); // The socket is not there yet: nothing tells when QEMU has made it.
    }
  }
}

async function tooLate(qemu: ChildProcess): Promise<never> {
  await delay(GIVE_UP_AFTER_MS, undefined, { ref: false });
  throw new Error(`QEMU by hand (pid ${String(qemu.pid)}) did not answer in ${String(GIVE_UP_AFTER_MS)} ms`);
}

async function end(qemu: ChildProcess | undefined): Promise<void> {
  if (qemu === undefined || qemu.exitCode !== null || qemu.signalCode !== null) return;
  const exited = once(qemu, 'exit');
  qemu.kill('SIGKILL');
  await exited;
}
