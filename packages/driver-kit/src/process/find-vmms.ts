import { findProcesses, processIdentity, type FoundProcess, type ProcessIdentity } from '@microvm/native';

/** How a driver's VMMs are told from other processes by their command lines. */
export interface VmmCommandLines {
  /** Part of an argument of every one of them. */
  readonly mark: string;
  /** The instance that a command line belongs to, when it is one of the driver's. */
  readonly instanceIdOf: (args: readonly string[]) => string | undefined;
}

/** The instances of all VMMs of a driver that live on this host and that `isOurs` says yes to: those of one state directory. */
export async function surveyVmms(
  { mark, instanceIdOf }: VmmCommandLines,
  isOurs: (process: FoundProcess) => Promise<boolean>,
): Promise<ReadonlySet<string>> {
  const found = await findProcesses(mark);
  const owned = await Promise.all(
    found.map(async (process) => ((await isOurs(process)) ? instanceIdOf(process.args) : undefined)),
  );
  return new Set(owned.filter((instanceId) => instanceId !== undefined));
}

/** Every VMM of a VM: as recorded, where that one still lives, and by its command line, where no pid was ever recorded. */
export async function vmmsOf(
  { instanceIdOf }: VmmCommandLines,
  instanceId: string,
  recorded: ProcessIdentity | undefined,
): Promise<readonly ProcessIdentity[]> {
  const named = await findProcesses(instanceId);
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
