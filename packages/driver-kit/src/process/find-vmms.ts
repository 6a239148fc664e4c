import {
  processIdentity,
  searchProcesses,
  type FoundProcess,
  type ProcessIdentity,
  type ProcessQuery,
  type ProcessSearchResult,
} from '@microvm/native';
import { hasCode } from '../host/system-error.js';

// A busy host takes its time to tell of all its processes; a process that does not answer at all costs a
// search this long.
const DEADLINE_MS = 5000;

/** The kernel's facts about a VM's VMM. Only processes of root and of that user itself can look the same. */
export interface VmmPlace {
  readonly uid: number;
  /** The folder that is its root. */
  readonly root?: string;
  /** The folder that it works in. */
  readonly cwd?: string;
}

/** How the VMM of one VM is told from all other processes. */
export interface WantedVmm {
  readonly recorded: ProcessIdentity | undefined;
  readonly place: VmmPlace;
  /** Facts that hold before the process has reached its place. */
  readonly beginning?: ProcessQuery;
  /**
   * Whether a command line is that of the VM's VMM. Anybody can write a command line, so this only narrows
   * what the kernel says.
   */
  readonly isVmm: (args: readonly string[]) => boolean;
}

/**
 * The VMMs of a VM that live: the recorded one while it lives and is in the VM's place. A driver starts a VMM
 * only when there is no other, so that all processes are searched only where nothing was recorded or what was
 * recorded is gone. Rejects with the system's error.
 */
export async function vmmsOf({
  recorded,
  place,
  beginning,
  isVmm,
}: WantedVmm): Promise<readonly ProcessIdentity[]> {
  if (recorded !== undefined && isAlive(recorded) && (await isAt(place, recorded.pid))) return [recorded];
  const queries = beginning === undefined ? [place] : [place, beginning];
  const searches = await Promise.all(queries.map(searchWhereIs));
  const named = searches.flatMap(({ found }) => found).filter(({ args }) => isVmm(args));
  const byPid = new Map(named.map(({ pid, startTime, bootId }) => [pid, { pid, startTime, bootId }]));
  return [...byPid.values()];
}

/** The instances that command lines of a user's processes name, as far as `isOurs` says yes to a process. */
export async function surveyVmms(
  query: ProcessQuery & { readonly uid: number; readonly argument: string },
  instanceIdOf: (args: readonly string[]) => string | undefined,
  isOurs: (process: FoundProcess) => boolean,
): Promise<ReadonlySet<string>> {
  const { found } = await search(query);
  const instances = found.filter(isOurs).map(({ args }) => instanceIdOf(args));
  return new Set(instances.filter((instanceId) => instanceId !== undefined));
}

/** The user that this process makes VMMs as, unless they get one of their own. */
export function ownUser(): number {
  return process.geteuid?.() ?? 0;
}

/** Nobody is in a folder that is not there. */
function searchWhereIs(query: ProcessQuery): Promise<ProcessSearchResult> {
  return search(query).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return { found: [], unanswered: [] };
    throw error;
  });
}

/**
 * Whether a process is in a place. A process that does not answer was known to be the VM's before, and still
 * counts.
 */
async function isAt(place: VmmPlace, pid: number): Promise<boolean> {
  const { found, unanswered } = await search({ ...place, pids: [pid] }).catch((error: unknown) => {
    // Without its folder only its user tells.
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return searchProcesses({ uid: place.uid, pids: [pid] });
    throw error;
  });
  return found.length + unanswered.length > 0;
}

function search(query: ProcessQuery): Promise<ProcessSearchResult> {
  return searchProcesses({ deadlineMs: DEADLINE_MS, ...query });
}

function isAlive({ pid, startTime, bootId }: ProcessIdentity): boolean {
  const now = processIdentity(pid);
  return now?.startTime === startTime && now.bootId === bootId;
}
