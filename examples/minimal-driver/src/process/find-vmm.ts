import { readlink, realpath } from 'node:fs/promises';
import * as kit from '@microvm/driver-kit';
import type { ProcessIdentity } from '@microvm/native';
import type { MinimalVm } from '../host/vm-plan.js';
import { instanceIdOf, NAME_PREFIX } from './command-line.js';

const COMMAND_LINES: kit.VmmCommandLines = { mark: NAME_PREFIX, instanceIdOf };

/** The instances of all VMMs that live in a state directory: each works in its VM's folder. */
export async function surveyVmms(stateDir: string): Promise<ReadonlySet<string>> {
  const root = await realpath(stateDir);
  return kit.surveyVmms(COMMAND_LINES, async ({ pid }) => {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => ''); // it ended between two looks at it
    return cwd.startsWith(`${root}/`);
  });
}

/** Every VMM of a VM, recorded or not. */
export function vmmsOf({ instanceId, vmm }: MinimalVm): Promise<readonly ProcessIdentity[]> {
  return kit.vmmsOf(COMMAND_LINES, instanceId, vmm);
}
