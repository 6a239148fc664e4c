import { ScriptedErrno } from '@microvm/guest';
import type { ScriptedConnection } from '../guest/guest-script.js';
import type { Process } from '../process/process.js';

/** A connection within the guest; undefined where nobody listens. */
export async function dialed(
  process: Process,
  target: { readonly host: string; readonly port: number },
): Promise<ScriptedConnection | undefined> {
  try {
    return await process.guest.dial(target, process.signal);
  } catch (error) {
    if (error instanceof ScriptedErrno) return undefined;
    throw error;
  }
}
