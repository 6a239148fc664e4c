import { realpath } from 'node:fs/promises';
import { ownUser, surveyVmms as survey, vmmsOf as find } from '@microvm/driver-kit';
import type { FoundProcess, ProcessIdentity } from '@microvm/native';
import type { VmPlan } from '../host/vm-plan.js';
import { instanceIdOf, VMM_MARK } from './command-line.js';
import { userIdsInUse } from './user-processes.js';

/** The VM whose VMM is looked for. */
export interface VmmOf {
  readonly instanceId: string;
  /** The VMM as last recorded. */
  readonly vmm: ProcessIdentity | undefined;
  readonly plan: Pick<VmPlan, 'uid'>;
  /** The working folder of the VMM: the root of its jail or, without a jail, a folder in the VM's own. */
  readonly vmmFolder: string;
  /** Its cgroup, below the mount. */
  readonly cgroupName: string | undefined;
}

/** Every VMM of a VM, recorded or not. */
export function vmmsOf(vm: VmmOf): Promise<readonly ProcessIdentity[]> {
  const { instanceId, vmm: recorded, plan, vmmFolder, cgroupName } = vm;
  const isVmm = (args: readonly string[]): boolean => instanceOf(args) === instanceId;
  if (plan.uid === null) return find({ recorded, place: { uid: ownUser(), cwd: vmmFolder }, isVmm });
  const place = { uid: plan.uid, root: vmmFolder };
  // Until it has changed its root and its user the process is the jailer, which was born in the VM's cgroup.
  const where = cgroupName === undefined ? { argument: instanceId } : { cgroup: `/${cgroupName}` };
  return find({ recorded, place, beginning: { uid: ownUser(), ...where }, isVmm });
}

/**
 * The instances of all VMMs that live in a state directory. Jailed VMMs have the users that their plans name
 * (`users`, by instance); bare VMMs have their working directory in the state directory.
 */
export async function surveyVmms(
  stateDir: string,
  users: ReadonlyMap<string, number>,
): Promise<ReadonlySet<string>> {
  const root = await realpath(stateDir);
  // A process that is still the jailer names the folder of jails.
  const isOurs = ({ cwd, args }: FoundProcess): boolean =>
    [cwd, ...args].some((path) => path.startsWith(`${root}/`));
  const [alive, bare] = await Promise.all([
    userIdsInUse(),
    survey({ uid: ownUser(), argument: VMM_MARK }, instanceOf, isOurs),
  ]);
  const jailed = [...users].filter(([, uid]) => alive.has(uid)).map(([instanceId]) => instanceId);
  return new Set([...jailed, ...bare]);
}

function instanceOf(args: readonly string[]): string | undefined {
  return args.includes(VMM_MARK) ? instanceIdOf(args) : undefined;
}
