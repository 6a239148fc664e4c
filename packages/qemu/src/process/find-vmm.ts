import { readlink, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findProcesses, processIdentity, type ProcessIdentity } from '@microvm/native';
import { instanceIdOf, processName } from './command-line.js';

// A process that ended between two looks at it.
const gone = (): undefined => undefined;

/** The instances of all VMMs that live in a state directory: QEMU's working directory is its VM's folder. */
export async function surveyVmms(stateDir: string): Promise<ReadonlySet<string>> {
  const root = await realpath(stateDir);
  const found = await findProcesses(processName(''));
  const owned = await Promise.all(
    found.map(async ({ pid, args }) => {
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(gone);
      const isOurs = cwd !== undefined && dirname(dirname(cwd)) === root;
      return isOurs ? instanceIdOf(args) : undefined;
    }),
  );
  return new Set(owned.filter((instanceId) => instanceId !== undefined));
}

/** Every VMM of a VM: as recorded, where that one still lives, and by its name, where no pid was ever recorded. */
export async function vmmsOf(
  instanceId: string,
  recorded: ProcessIdentity | undefined,
): Promise<readonly ProcessIdentity[]> {
  const named = await findProcesses(processName(instanceId));
  const found: ProcessIdentity[] = named.filter(({ args }) => instanceIdOf(args) === instanceId);
  if (recorded !== undefined && isAlive(recorded) && found.every(({ pid }) => pid !== recorded.pid)) {
    found.unshift(recorded);
  }
  return found.map(({ pid, startTime, bootId }) => ({ pid, startTime, bootId }));
}

function isAlive({ pid, startTime, bootId }: ProcessIdentity): boolean {
  const now = processIdentity(pid);
  return now?.startTime === startTime && now.bootId === bootId;
}
