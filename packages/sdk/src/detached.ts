import {
  type DetachedExecRequest,
  type Guest,
  invalidArgument,
  type OutputOffsets,
  withoutUndefined,
} from '@microvm/runtime';
import { parseCommand } from './command.js';
import type { Execution } from './execution.js';
import type { ExecOptions } from './options.js';

/** Options of a command that runs without a reader. */
export interface DetachedOptions extends Pick<
  ExecOptions,
  'env' | 'secrets' | 'cwd' | 'user' | 'rlimits' | 'pty'
> {
  readonly detached: true;
  /**
   * The command's standard input, which is closed after it. Default: empty; with a `pty` the keyboard stays
   * there for whoever attaches.
   */
  readonly input?: string | Uint8Array | undefined;
  /** Until the command runs: aborting ends it. Later it has no effect. */
  readonly signal?: AbortSignal | undefined;
  /** Until the command runs and the guest has its input, in milliseconds. Default: no limit. */
  readonly timeoutMs?: number | undefined;
}

/** Options of a reader of a command. An abort and a time-out end the reading, not the command. */
export interface AttachOptions extends Pick<
  ExecOptions,
  'input' | 'maxOutputBytes' | 'signal' | 'timeoutMs' | 'throwOnError'
> {
  /** The first byte of each output to read: the `offsets` of an earlier reader. Default: the first of all. */
  readonly from?: OutputOffsets | undefined;
}

/** A command that was started with `detached`. */
export interface Detached {
  /** Names the command in this guest, for any process that owns the VM: see `Vm.attach`. */
  readonly id: string;
  attach(options?: AttachOptions): Execution;
  /** Sends a signal, `SIGTERM` by default, to all that the command started. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function detachedRequest(command: unknown, options: DetachedOptions): DetachedExecRequest {
  const { detached, ...others } = options;
  const { argv, options: parsed } = parseCommand(command, others);
  const { env, secrets, cwd, user, rlimits, pty, signal, timeoutMs } = parsed;
  const input = parsed.input ?? (pty === undefined ? '' : undefined);
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw invalidArgument('input', 'a string or a Uint8Array for a detached command');
  }
  for (const name of ['maxOutputBytes', 'throwOnError'] as const) {
    if (parsed[name] !== undefined) throw invalidArgument(name, 'an option of whoever attaches');
  }
  const given = { env, secrets, cwd, user, rlimits, pty, input, signal, timeoutMs };
  return { detached, ...withoutUndefined({ argv, ...given }) };
}

/** A handle of a command by its id. */
export function detachedHandle(
  id: string,
  guest: () => Promise<Guest>,
  attach: (id: string, options?: AttachOptions) => Execution,
): Detached {
  return {
    id,
    attach: (options) => attach(id, options),
    kill: async (signal) => (await guest()).kill(id, signal),
  };
}
