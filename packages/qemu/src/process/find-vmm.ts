import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ownUser, surveyVmms as survey, vmmsOf as find } from '@microvm/driver-kit';
import type { ProcessIdentity } from '@microvm/native';
import { instanceIdOf, processName } from './command-line.js';

/** The instances of all VMMs that live in a state directory: QEMU's working directory is its VM's folder. */
export async function surveyVmms(stateDir: string): Promise<ReadonlySet<string>> {
  const root = await realpath(stateDir);
  return survey(
    { uid: ownUser(), argument: processName('') },
    instanceIdOf,
    ({ cwd }) => dirname(dirname(cwd)) === root,
  );
}

/** The VM whose VMM is looked for. */
export interface VmmOf {
  readonly instanceId: string;
  /** The VMM as last recorded. */
  readonly vmm: ProcessIdentity | undefined;
  /** The VM's folder. */
  readonly directory: string;
}

/** Every QEMU of a VM, recorded or not. */
export function vmmsOf({ instanceId, vmm, directory }: VmmOf): Promise<readonly ProcessIdentity[]> {
  const isVmm = (args: readonly string[]): boolean => instanceIdOf(args) === instanceId;
  return find({ recorded: vmm, place: { uid: ownUser(), cwd: directory }, isVmm });
}
