import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessExit } from '@microvm/native';
import { VM_FILES } from '../host/paths.js';

/**
 * Writes into the VMM's log, where a search for the cause of an end looks, that the kernel killed the VMM
 * because its cgroup ran out of memory. The signal alone does not tell. Never rejects.
 */
export async function noteOomKill(
  directory: string,
  cgroup: string | undefined,
  { signal, exitCode }: ProcessExit,
): Promise<void> {
  if (cgroup === undefined || (signal !== 'SIGKILL' && exitCode !== 'unknown')) return;
  try {
    const events = await readFile(join(cgroup, 'memory.events'), 'utf8');
    const kills = Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
    if (kills === 0) return;
    await appendFile(
      join(directory, VM_FILES.vmmLog),
      `killed by the kernel: memory.max (oom_kill ${kills})\n`,
    );
  } catch {
    // No memory controller, or the cgroup has gone already.
  }
}
