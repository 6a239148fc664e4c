import { constants } from 'node:os';
import type { AddonProcess } from './addon.js';
import { claimed, invalid, object, undoneIfAborted } from './calls.js';
import { loadAddon } from './load.js';

/** Names one process for ever: a pid alone is used again, the three together are not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of `/proc/<pid>/stat`: clock ticks since boot, in decimal. */
  readonly startTime: string;
  /** `/proc/sys/kernel/random/boot_id` of the boot in which the process lives. */
  readonly bootId: string;
}

/**
 * The identity of a living process (a zombie counts as living until it is reaped), or undefined when no
 * process has this pid.
 */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  return loadAddon().processIdentity(pid);
}

/** The id of this boot of the host: a process or cache of another boot is never taken for one of this. */
export function bootId(): string {
  return loadAddon().bootId();
}

/** How a process ended. */
export interface ProcessExit {
  /**
   * The exit code; null when a signal ended the process; `'unknown'` when the kernel did not tell. The kernel
   * does not tell for a process that is not our child (Linux 6.15 and newer do), nor for a process that was
   * gone already.
   */
  readonly exitCode: number | null | 'unknown';
  /** The name of the signal that ended the process, such as `SIGKILL`; else null. */
  readonly signal: NodeJS.Signals | null;
}

/**
 * A process whose end is watched through a pidfd; signals can never reach a later process with the same pid.
 */
export interface ProcessWatch {
  readonly identity: ProcessIdentity;
  /**
   * Resolves once, when the process has ended; never rejects. After `close()` it stays pending for ever.
   * Does not keep Node alive by itself: see {@link ProcessWatch.ref}.
   */
  readonly exited: Promise<ProcessExit>;
  /**
   * Sends a signal.
   *
   * @returns false when the process was gone already, or after `close()`.
   * @throws SystemError `EPERM` and the like; TypeError for an unknown signal.
   */
  kill(signal: NodeJS.Signals | number): boolean;
  /** Lets Node stay alive until the process ends or `close()`. Idempotent. Returns itself. */
  ref(): this;
  /** Undoes {@link ProcessWatch.ref}; a watch starts without a reference. Idempotent. Returns itself. */
  unref(): this;
  /** Stops watching; the process goes on (a child is still reaped when it ends). Idempotent. */
  close(): void;
}

/** A child process in a session of its own. */
export type SpawnedProcess = ProcessWatch;

/** Resource limits; soft and hard limit are both set to the value. */
export interface ProcessLimits {
  /** RLIMIT_NOFILE */
  readonly openFiles?: number;
  /** RLIMIT_FSIZE, bytes */
  readonly fileSizeBytes?: number;
  /** RLIMIT_CORE, bytes */
  readonly coreSizeBytes?: number;
  /** RLIMIT_MEMLOCK, bytes */
  readonly lockedMemoryBytes?: number;
  /** RLIMIT_AS, bytes */
  readonly addressSpaceBytes?: number;
  /** RLIMIT_NPROC */
  readonly processes?: number;
}

export interface SpawnOptions {
  /** The executable. Without a slash it is looked up in PATH (that of `env`). */
  readonly file: string;
  /** The arguments after argv[0], which is `file`. Default none. */
  readonly args?: readonly string[];
  /** The whole environment of the child; default: `process.env`. An undefined value leaves the name out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Working directory; a relative `file` with a slash is relative to it. */
  readonly cwd?: string;
  /**
   * Descriptor i of the child is a copy of our descriptor `fds[i]`; null is `/dev/null`. 0, 1 and 2 are
   * `/dev/null` when not given. The child has no other descriptor. You may close yours as soon as the call
   * has returned.
   */
  readonly fds?: readonly (number | null)[];
  /** User of the child. Supplementary groups are dropped when `uid` or `gid` is given. */
  readonly uid?: number;
  readonly gid?: number;
  /** A cgroup v2 directory; the child is born in it, never seen in ours. */
  readonly cgroup?: string;
  /** A network namespace (path of its file) that the child enters. */
  readonly netns?: string;
  readonly limits?: ProcessLimits;
  /** An abort kills the child, if there is one, and rejects once it has ended. */
  readonly signal?: AbortSignal;
}

const NEWEST_REALTIME_SIGNAL = 64;

function signalNumber(signal: NodeJS.Signals | number): number {
  const number = typeof signal === 'string' ? constants.signals[signal] : signal;
  if (Number.isInteger(number) && number >= 0 && number <= NEWEST_REALTIME_SIGNAL) return number;
  throw invalid('signal', 'the name or number of a signal');
}

/** Real-time signals have no name in Node, and get one of the same form. */
function signalName(number: number): NodeJS.Signals {
  const named = Object.entries(constants.signals).find(([, value]) => value === number);
  return (named === undefined ? `SIG${number}` : named[0]) as NodeJS.Signals;
}

class WatchedProcess implements ProcessWatch {
  readonly #id: number;
  readonly identity: ProcessIdentity;
  readonly exited: Promise<ProcessExit>;

  constructor({ id, identity, exited }: AddonProcess) {
    this.#id = id;
    this.identity = Object.freeze(identity);
    this.exited = exited.then(({ exitCode, signal }) => ({
      exitCode,
      signal: signal === null ? null : signalName(signal),
    }));
  }

  kill(signal: NodeJS.Signals | number): boolean {
    return loadAddon().killProcess(this.#id, signalNumber(signal));
  }

  ref(): this {
    loadAddon().holdProcess(this.#id, true);
    return this;
  }

  unref(): this {
    loadAddon().holdProcess(this.#id, false);
    return this;
  }

  close(): void {
    loadAddon().closeProcess(this.#id);
  }
}

function environment(env: NonNullable<SpawnOptions['env']>): string[] {
  return Object.entries(object(env, 'env'))
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`);
}

/**
 * Starts a process: own session (no terminal signal reaches it), default signal handlers, no signal blocked,
 * only the descriptors given. Nothing is copied from our memory, so a big heap costs nothing; the event loop
 * is not held. Resolves when the new program has been executed.
 *
 * @throws SystemError (as rejection) of the step that failed, also when that step was in the child: `execve`,
 * `chdir`, `setns`, `setresuid`…; nothing is left then.
 */
export function spawnProcess(options: SpawnOptions): Promise<SpawnedProcess> {
  const { args = [], fds = [], env = process.env, signal } = object(options, 'options');
  const request = { ...options, args, fds, env: environment(env) };
  const spawned = undoneIfAborted(
    signal,
    () => loadAddon().spawnProcess(request),
    ({ id, exited }) => {
      loadAddon().giveBack(id);
      loadAddon().holdProcess(id, true);
      return exited;
    },
  );
  return spawned.then((child) => claimed(child.id, new WatchedProcess(child)));
}

/**
 * Watches a process that is not our child (adopted after a restart). A pid that was used again by another
 * process, or an identity of an earlier boot, counts as gone: `exited` resolves with exit code `'unknown'`
 * and `kill` returns false.
 *
 * @throws SystemError when the pidfd cannot be had (`EMFILE`…).
 */
export function watchProcess(identity: ProcessIdentity): ProcessWatch {
  return new WatchedProcess(loadAddon().watchProcess(identity));
}
