import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

export interface FootprintQuery {
  readonly stateDir: string;
  /** Of every VM that there was: all that a VM has on the host is named by it. */
  readonly instanceIds: readonly string[];
  /** Processes of ours that were there before; see `childPids`. */
  readonly earlierChildren: readonly string[];
}

/** Looks at the host itself, not at what the runtime says: one line per thing that is still there. */
export async function findLeftovers({
  stateDir,
  instanceIds,
  earlierChildren,
}: FootprintQuery): Promise<readonly string[]> {
  const needles = [stateDir, ...instanceIds];
  return [
    ...(await files(stateDir)),
    ...(await processes(needles)),
    ...(await children(earlierChildren)),
    ...(await sockets(needles)),
  ];
}

// What a state directory has as such, and keeps for the next VM: the lock, the users that are its own, copies
// of VMM and kernel.
const OF_THE_STATE = ['lock', '.reserve', 'uid-block', 'bin', 'images'];

async function files(stateDir: string): Promise<string[]> {
  const entries = await readdir(stateDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !OF_THE_STATE.includes(relative(stateDir, path).split(sep)[0] ?? ''))
    .map((path) => `file ${path}`);
}

async function processes(needles: readonly string[]): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // It ended meanwhile.
      const isOurs = needles.some((needle) => command.includes(needle));
      return isOurs ? `process ${pid}: ${command.split('\0').join(' ').slice(0, 120)}` : undefined;
    }),
  );
  return found.filter((line) => line !== undefined);
}

/** The processes that this one has started and that live. */
export async function childPids(): Promise<readonly string[]> {
  const tasks = await readdir('/proc/self/task');
  const lists = await Promise.all(
    // A thread that has ended meanwhile has no children.
    tasks.map((task) => readFile(`/proc/self/task/${task}/children`, 'utf8').catch(() => '')),
  );
  return lists.flatMap((list) => list.trim().split(/\s+/)).filter((pid) => pid !== '');
}

async function children(earlier: readonly string[]): Promise<string[]> {
  const pids = (await childPids()).filter((pid) => !earlier.includes(pid));
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
