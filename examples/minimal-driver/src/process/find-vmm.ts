import { realpath } from 'node:fs/promises';
import { ownUser, surveyVmms as survey, vmmsOf as find } from '@microvm/driver-kit';
import type { ProcessIdentity } from '@microvm/native';
import type { MinimalVm } from '../host/vm-plan.js';
import { instanceIdOf, NAME_PREFIX } from './command-line.js';

/** The instances of all VMMs that live in a state directory: each works in its VM's folder. */
export async function surveyVmms(stateDir: string): Promise<ReadonlySet<string>> {
  const root = await realpath(stateDir);
  const query = { uid: ownUser(), argument: NAME_PREFIX };
  return survey(query, instanceIdOf, ({ cwd }) => cwd.startsWith(`${root}/`));
}

/**
 * Every VMM of a VM, recorded or not. What the kernel says of a process counts; its command line only narrows
 * that.
 */
export function vmmsOf({ instanceId, vmm, directory }: MinimalVm): Promise<readonly ProcessIdentity[]> {
  const isVmm = (args: readonly string[]): boolean => instanceIdOf(args) === instanceId;
  return find({ recorded: vmm, place: { uid: ownUser(), cwd: directory }, isVmm });
}
