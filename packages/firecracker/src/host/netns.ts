import { netnsExists } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';

/**
 * Refuses to start a VM whose network namespace is gone, before there is anything to undo:
 * `MICROVM_HOST_FAILURE`.
 */
export async function requireNetns(path: string | null, vmId: string): Promise<void> {
  if (path === null || (await netnsExists(path))) return;
  const operation = `start "${vmId}"`;
  throw new VmRuntimeError(
    'MICROVM_HOST_FAILURE',
    `${operation}: there is no network namespace at "${path}"`,
    {
      details: { operation },
      remedy: `make the namespace again, with its TAPs, before the VM is started`,
    },
  );
}
