import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessExit } from '@microvm/native';
import { VM_FILES } from '../host/paths.js';

/**
 * Says in the VMM's log, where whoever asks for its end looks, that it was the kernel who killed it, for want
 * of memory in its cgroup: the signal alone does not tell. Never rejects.
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
