import { ScriptedErrno } from '@microvm/guest';
import type { CommandEnd } from '../guest/guest-script.js';
import { errnoText } from '../process/errno-text.js';
import type { Process, ProcessParts } from '../process/process.js';

/** Runs another program with this one's descriptors. 127: there is none; 126: it does not start. */
export async function runNamed(
  process: Process,
  argv: readonly [string, ...string[]],
  changes: Partial<Pick<ProcessParts, 'env' | 'descriptors'>> & { readonly signal?: AbortSignal } = {},
): Promise<CommandEnd> {
  const { signal = process.signal, ...parts } = changes;
  const { env, cwd, account, umask } = process;
  const descriptors =
    changes.descriptors ?? new Map([...process.descriptors].map(([number, file]) => [number, file.retain()]));
  try {
    return await process.system.run({ env, cwd, account, umask, ...parts, descriptors, argv }, signal);
  } catch (error) {
    if (!(error instanceof ScriptedErrno)) throw error;
    await process.complain(`can't execute '${argv[0]}': ${errnoText(error.errno)}`);
    return error.errno === 'ENOENT' ? 127 : 126;
  }
}
