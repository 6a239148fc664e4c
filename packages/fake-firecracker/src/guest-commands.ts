import type { Guest } from '@microvm/runtime';

/**
 * The shell command by which the guest of a double panics. `/proc/sysrq-trigger` is there too, but only where
 * the host's kernel has one.
 */
export const PANIC_COMMAND = 'echo c > /dev/sysrq';

const COUNT_FILE = '/run/count';

async function count(guest: Guest): Promise<number> {
  const script = `n=$(($(cat ${COUNT_FILE} 2> /dev/null) + 1)); echo $n > ${COUNT_FILE}; echo $n`;
  const { stdout } = await guest.exec({ argv: ['sh', '-c', script] }).result;
  return Number(stdout.toString());
}

/**
 * A workload for the conformance suite whose number grows with each read: in the guest of a double a snapshot
 * keeps files, but no process that would go on counting.
 */
export const countByReading = {
  start: async (guest: Guest): Promise<void> => {
    await count(guest);
  },
  read: count,
};
