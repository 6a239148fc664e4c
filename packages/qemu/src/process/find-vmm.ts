import { readlink, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as kit from '@microvm/driver-kit';
import type { ProcessIdentity } from '@microvm/native';
import { instanceIdOf, processName } from './command-line.js';

const QEMU: kit.VmmCommandLines = { mark: processName(''), instanceIdOf };

/** The instances of all VMMs that live in a state directory: QEMU's working directory is its VM's folder. */
export async function surveyVmms(stateDir: string): Promise<ReadonlySet<string>> {
  const root = await realpath(stateDir);
  return kit.surveyVmms(QEMU, async ({ pid }) => {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined); // it ended between two looks at it
    return cwd !== undefined && dirname(dirname(cwd)) === root;
  });
}

/** Every QEMU of a VM, recorded or not. */
export function vmmsOf(
  instanceId: string,
  recorded: ProcessIdentity | undefined,
): Promise<readonly ProcessIdentity[]> {
  return kit.vmmsOf(QEMU, instanceId, recorded);
}
