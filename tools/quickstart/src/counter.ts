import type { Vm } from '@microvm/sdk';

/**
 * A shell loop whose variable is in guest memory only; it shows it in a file of the guest's tmpfs, each time
 * whole.
 */
const COUNT =
  '(n=0; while n=$((n+1)); do echo $n >/tmp/next; mv /tmp/next /tmp/count; sleep 0.05; done) >/dev/null 2>&1 &';
const READ = 'until cat /tmp/count 2>/dev/null; do sleep 0.05; done';

/** Starts the loop. Answers with what was typed. */
export async function startCounter(vm: Vm, signal: AbortSignal): Promise<string> {
  await vm.exec(COUNT, { throwOnError: true, signal });
  return COUNT;
}

export async function readCounter(vm: Vm, signal: AbortSignal): Promise<number> {
  const { stdout } = await vm.exec(READ, { throwOnError: true, signal });
  const value = Number(stdout.trim());
  if (!Number.isSafeInteger(value) || value <= 0)
    throw new Error(`read the counter of ${vm.vmId}: got "${stdout}"`);
  return value;
}

/** Waits, in the guest, until the loop has gone past a value. */
export async function waitForCounter(vm: Vm, beyond: number, signal: AbortSignal): Promise<number> {
  const wait = `until [ "$(cat /tmp/count 2>/dev/null || echo 0)" -gt ${String(beyond)} ]; do sleep 0.05; done; cat /tmp/count`;
  const { stdout } = await vm.exec(wait, { throwOnError: true, signal });
  return Number(stdout.trim());
}
