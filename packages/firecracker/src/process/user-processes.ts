import { readdir, readFile } from 'node:fs/promises';
import { EXIT_AFTER_KILL_MS, hasCode, killVmms, type VmmName } from '@microvm/driver-kit';
import { processIdentity } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';

// Each read needs a descriptor, and there is no more than one processor's work in all of them.
const READS_AT_ONCE = 4;

/** The user ids that the living processes of this host have: real, effective, saved and for files. */
export async function userIdsInUse(): Promise<ReadonlySet<number>> {
  return new Set((await processUsers()).flatMap(({ userIds }) => userIds));
}

/**
 * Ends every process that runs as a VM's user; resolves when there is none. A process may fork while it is
 * killed, so this looks again until none is left. Rejects with `MICROVM_HOST_FAILURE` when some never end.
 */
export async function endProcessesOf(uid: number, name: VmmName): Promise<void> {
  const deadline = performance.now() + EXIT_AFTER_KILL_MS;
  for (;;) {
    const users = await processUsers();
    const pids = users.filter(({ userIds }) => userIds.includes(uid)).map(({ pid }) => pid);
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw stillThere(uid, pids, name);
    const identities = pids.map((pid) => processIdentity(pid)).filter((found) => found !== undefined);
    await killVmms(identities, name);
  }
}

interface ProcessUsers {
  readonly pid: number;
  readonly userIds: readonly number[];
}

async function processUsers(): Promise<ProcessUsers[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const found: ProcessUsers[] = [];
  while (pids.length > 0) {
    const users = await Promise.all(pids.splice(0, READS_AT_ONCE).map(usersOf));
    found.push(...users.filter((one) => one !== undefined));
  }
  return found;
}

async function usersOf(pid: number): Promise<ProcessUsers | undefined> {
  try {
    // proc_pid_status(5). The owner of /proc/<pid> is root's for a process that made itself undumpable.
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    // A zombie does nothing any more, and stays for as long as its parent likes.
    if (/^State:\s+[ZX]/m.test(status)) return undefined;
    const userIds = /^Uid:((?:\s+\d+)+)$/m.exec(status)?.[1]?.trim().split(/\s+/).map(Number) ?? [];
    return { pid, userIds };
  } catch (error) {
    // The process ended meanwhile.
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

function stillThere(
  uid: number,
  pids: readonly number[],
  { vmm, vmId, instanceId }: VmmName,
): VmRuntimeError {
  const operation = `end the processes of ${instanceId}`;
  const message = `${vmm} of "${vmId}": user ${uid} still has processes: ${pids.slice(0, 8).join(', ')}`;
  return new VmRuntimeError('MICROVM_HOST_FAILURE', message, { details: { operation } });
}
