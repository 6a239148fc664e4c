import { readlink, realpath } from 'node:fs/promises';
import { surveyVmms as survey, vmmsOf as find, type VmmCommandLines } from '@microvm/driver-kit';
import type { FoundProcess, ProcessIdentity } from '@microvm/native';
import { instanceIdOf, VMM_MARK } from './command-line.js';

const COMMAND_LINES: VmmCommandLines = {
  mark: VMM_MARK,
  instanceIdOf: (args) => (args.some((arg) => arg === VMM_MARK) ? instanceIdOf(args) : undefined),
};

/** The instances of all VMMs that live in a state directory: jailed ones have their root in it, bare ones their working directory. */
export async function surveyVmms(stateDir: string): Promise<ReadonlySet<string>> {
  const root = await realpath(stateDir);
  return survey(COMMAND_LINES, (process) => isBeneath(root, process));
}

async function isBeneath(root: string, { pid, args }: FoundProcess): Promise<boolean> {
  // One that is still the jailer names the folder of jails.
  if (args.some((arg) => arg.startsWith(`${root}/`))) return true;
  const links = ['root', 'cwd'].map((name) => readlink(`/proc/${pid}/${name}`).catch(() => ''));
  return (await Promise.all(links)).some((link) => link.startsWith(`${root}/`));
}

/** Every VMM of a VM: as recorded, where that one still lives, and by its arguments, where no pid was ever recorded. */
export function vmmsOf(
  instanceId: string,
  recorded: ProcessIdentity | undefined,
): Promise<readonly ProcessIdentity[]> {
  return find(COMMAND_LINES, instanceId, recorded);
}
