import type { Guest, VmRuntime } from '@microvm/runtime';
import type { GuestEnding, GuestWorkload } from './factory.js';

export { linuxImages } from './linux-images.js';
export type { ImageBuilder } from './linux-images.js';

// The parts of a factory for guests that are Linux with a shell, such as busybox's. This file imports no
// vitest, because child processes use it too.

const COUNT_FILE = '/run/count';
// Written aside and renamed: a reader never finds it empty.
const COUNTER = `n=0
while :; do
  n=$((n + 1))
  echo $n > ${COUNT_FILE}.new && mv ${COUNT_FILE}.new ${COUNT_FILE}
  usleep 50000
done`;

/** What a shell in the guest prints, without the white space around it. */
export async function outputOf(guest: Guest, script: string): Promise<string> {
  const { stdout } = await guest.exec({ argv: ['sh', '-c', script] }).result;
  return stdout.toString().trim();
}

/** Starts a process that counts, twenty times a second. */
export async function startCounter(guest: Guest): Promise<void> {
  const script = `(${COUNTER}) > /dev/null 2>&1 < /dev/null & until [ -e ${COUNT_FILE} ]; do usleep 10000; done`;
  await guest.exec({ argv: ['sh', '-c', script] }).result;
}

/** The workload's count. */
export async function readCounter(guest: Guest): Promise<number> {
  return Number(await outputOf(guest, `cat ${COUNT_FILE}`));
}

/** A factory's `workload`. */
export const COUNTING: GuestWorkload = { start: startCounter, read: readCounter };

/** The shell commands by which a guest ends itself. */
export const GUEST_ENDINGS: Readonly<Record<Exclude<GuestEnding, 'kill-vmm'>, string>> = {
  'power-off': 'poweroff',
  reboot: 'reboot',
  panic: 'echo c > /proc/sysrq-trigger',
};

/** A factory's `endGuest`, for VMMs that this process may kill. */
export async function endGuest(runtime: VmRuntime, vmId: string, how: GuestEnding): Promise<void> {
  if (how === 'kill-vmm') {
    const pid = (await runtime.getVm(vmId))?.vmm?.pid ?? 0;
    if (!(pid > 1)) throw new Error(`"${vmId}" has no VMM`);
    process.kill(pid, 'SIGKILL');
    return;
  }
  const guest = await runtime.guest(vmId);
  const command = guest.exec({ argv: ['sh', '-c', GUEST_ENDINGS[how]] });
  // The guest may be gone before it answers.
  await command.result.catch(() => undefined);
}
