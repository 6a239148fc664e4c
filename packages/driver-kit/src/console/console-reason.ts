import type { VmEnding } from '@microvm/runtime';
import { consoleTail } from './log-tail.js';

const CONSOLE_TAIL_BYTES = 8192;
const PANIC_LINE = /Kernel panic - not syncing/;
// Begins a boot: what is above it is of an earlier life.
const BOOT_LINE = /Linux version \d/;
const FAREWELL_LINE = /microvm-agent: farewell (shutdown|power-off|reboot)/;

/**
 * How a guest ended, by the last that it wrote to its console: a panic, or the agent's farewell. Undefined
 * when it wrote neither since it booted, or since the byte `from`, where its life began: a quiet kernel does
 * not say that it boots.
 */
export async function reasonFromConsole(
  directory: string,
  from = 0,
): Promise<VmEnding['reason'] | undefined> {
  const lines = (await consoleTail(directory, CONSOLE_TAIL_BYTES, from)).split(/\r?\n/).reverse();
  const telling = lines.find((line) =>
    [PANIC_LINE, FAREWELL_LINE, BOOT_LINE].some((pattern) => pattern.test(line)),
  );
  if (telling === undefined || BOOT_LINE.test(telling)) return undefined;
  return (FAREWELL_LINE.exec(telling)?.[1] as VmEnding['reason'] | undefined) ?? 'panic';
}
