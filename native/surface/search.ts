import { absolute, object, untilAborted } from './calls.js';
import type { AbortOptions } from './errors.js';
import { loadAddon } from './load.js';
import type { ProcessIdentity } from './process.js';

/**
 * Which processes a search is for: those that all given fields are true of. Nobody but root can make a
 * process whose `uid`, `cgroup` and `root` are those of a VM; its arguments anybody can write. The command
 * line is read last, and only of candidates.
 */
export interface ProcessQuery {
  /** Only these: what is known of a recorded process now. */
  readonly pids?: readonly number[];
  /** Real and effective user. */
  readonly uid?: number;
  /** The path in cgroup v2 as `/proc/<pid>/cgroup` has it: below the mount, with a leading slash. */
  readonly cgroup?: string;
  /**
   * The root folder or the working directory. Folders are compared as files, so a jail in a mount namespace
   * of its own is recognised.
   */
  readonly root?: string;
  readonly cwd?: string;
  /** A part of at least one argument. */
  readonly argument?: string;
  /** How long the search may take, 1 to 60,000 ms; default 1,000. */
  readonly deadlineMs?: number;
}

export interface FoundProcess extends ProcessIdentity {
  /** The real user. */
  readonly uid: number;
  /**
   * The links of `/proc/<pid>`, as the process's own mount namespace names the folders; empty when we may not
   * see them.
   */
  readonly root: string;
  readonly cwd: string;
  /** As of {@link ProcessQuery.cgroup}; empty where there is no cgroup v2. */
  readonly cgroup: string;
  /** The command line, argv[0] first; its first 128 KiB. */
  readonly args: readonly string[];
}

/** A process that may be one of those looked for: its `/proc` files did not answer by the deadline. */
export interface UnansweredProcess {
  readonly pid: number;
  /**
   * Known by then; a process that was unanswered in an earlier search, and is not read again until that read
   * ends, has neither.
   */
  readonly startTime?: string;
  readonly uid?: number;
}

export interface ProcessSearchResult {
  /** Sorted by pid. */
  readonly found: readonly FoundProcess[];
  /** Sorted by pid; empty on a healthy host. */
  readonly unanswered: readonly UnansweredProcess[];
}

/**
 * Looks for processes; never our own. A hostile process can make a read of its `/proc/<pid>/cmdline` wait for
 * ever (its memory lies on a file system that does not answer). Threads of their own do such reads, and a
 * search ends at its deadline without them. At most 64 such threads are left behind in a process. An abort
 * rejects at once.
 *
 * @throws SystemError (as rejection): `ENOENT` when `root` or `cwd` is not there…
 */
export function searchProcesses(
  query: ProcessQuery,
  options: AbortOptions = {},
): Promise<ProcessSearchResult> {
  const { signal } = object(options, 'options');
  const { root, cwd, ...rest } = object(query, 'query');
  const request = {
    ...rest,
    ...(root === undefined ? {} : { root: absolute(root, 'query.root') }),
    ...(cwd === undefined ? {} : { cwd: absolute(cwd, 'query.cwd') }),
  };
  return untilAborted(signal, () => loadAddon().searchProcesses(request));
}
