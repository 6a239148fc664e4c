import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProcesses } from '@microvm/native';

export interface FootprintQuery {
  readonly stateDir: string;
  /** Of every VM that there was: all that a VM has on the host is named by it. */
  readonly instanceIds: readonly string[];
}

/** Looks at the host itself, not at what the runtime says: one line per thing that is still there. */
export async function findLeftovers({ stateDir, instanceIds }: FootprintQuery): Promise<readonly string[]> {
  const needles = [stateDir, ...instanceIds];
  return [
    ...(await files(stateDir)),
    ...(await processes(needles)),
    ...(await children()),
    ...(await sockets(needles)),
  ];
}

async function files(stateDir: string): Promise<string[]> {
  const entries = await readdir(stateDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path !== join(stateDir, 'lock'))
    .map((path) => `file ${path}`);
}

async function processes(needles: readonly string[]): Promise<string[]> {
  const found = (await Promise.all(needles.map((needle) => findProcesses(needle)))).flat();
  const byPid = new Map(found.map((process) => [process.pid, process]));
  return [...byPid.values()].map(
    ({ pid, args }) => `process ${String(pid)}: ${args.join(' ').slice(0, 120)}`,
  );
}

async function children(): Promise<string[]> {
  const tasks = await readdir('/proc/self/task');
  const lists = await Promise.all(tasks.map((task) => readFile(`/proc/self/task/${task}/children`, 'utf8')));
  const pids = lists.flatMap((list) => list.trim().split(/\s+/)).filter((pid) => pid !== '');
  return Promise.all(
    pids.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'ended meanwhile');
      return `child process ${pid}: ${command.trim()}`;
    }),
  );
}

async function sockets(needles: readonly string[]): Promise<string[]> {
  const table = await readFile('/proc/net/unix', 'utf8');
  return table
    .split('\n')
    .filter((line) => needles.some((needle) => line.includes(needle)))
    .map((line) => `socket ${line.slice(line.indexOf('/'))}`);
}
