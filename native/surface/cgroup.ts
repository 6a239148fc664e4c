import { abortable, absolute, invalid, object } from './calls.js';
import { loadAddon } from './load.js';

/**
 * Cgroups of version 2, on a mount of version 2 alone or on the one beside version 1 of a hybrid host. Only a
 * cgroup is ever killed or removed: a path in another file system is `EINVAL`.
 */

const KILL_TIMEOUT_MS = 10_000;

/** `memory.max` and the like: the name of a control file, never a path. */
const CONTROL_FILE = /^[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)+$/;

/**
 * Control files and their values, written in this order: `{ 'memory.max': 134217728, 'cpu.max': '50000
 * 100000' }`. Each element of an array is a write of its own, because `io.max` takes one write for each
 * device. `memory.swap.*` is left out on a kernel that does not account for swap, which has no such files.
 */
export type CgroupLimits = Readonly<
  Record<string, number | string | readonly (number | string)[] | undefined>
>;

export interface CreateCgroupOptions {
  /** Default none. */
  readonly limits?: CgroupLimits;
  /** An abort rejects with the signal's reason unless the work has begun: it is a handful of steps. */
  readonly signal?: AbortSignal;
}

/** One line is one write: the kernel takes one device at a time in `io.max`. */
function writes(limits: CgroupLimits): (readonly [file: string, line: string])[] {
  return Object.entries(object(limits, 'limits')).flatMap(([file, value]) => {
    if (!CONTROL_FILE.test(file)) throw invalid(`limits.${file}`, 'a control file such as memory.max');
    if (value === undefined) return [];
    const lines: readonly unknown[] = Array.isArray(value) ? value : [value];
    return lines.map((line) => [file, text(line, `limits.${file}`)] as const);
  });
}

function text(value: unknown, name: string): string {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return String(value);
  if (typeof value === 'string' && value !== '' && !/[\n\0]/.test(value)) return value;
  throw invalid(name, 'an integer from 0, a line of text or an array of these');
}

/**
 * Makes a cgroup with its limits, or nothing. Cgroups missing above it are made too, and in all of them the
 * controllers that the limits need are switched on (`cgroup.subtree_control`); both stay.
 *
 * @throws SystemError (as rejection): `EEXIST` when it exists. `ENOTSUP`: there is no such controller for it;
 * `object` is its name and `path` the cgroup that lacks it. `EBUSY` with a controller as `object`: the cgroup
 * at `path` has processes of its own, so that those below it can have no limits. `EACCES`: not delegated to
 * this user. `EINVAL`: no cgroup v2, or a value that the kernel refuses; `ENOENT`: no such control file.
 */
export function createCgroup(path: string, options: CreateCgroupOptions = {}): Promise<void> {
  const { limits = {}, signal } = object(options, 'options');
  const folder = absolute(path, 'path');
  const lines = writes(limits);
  const [files, values] = [lines.map(([file]) => file), lines.map(([, value]) => value)];
  return abortable(signal, () => loadAddon().createCgroup(folder, files, values));
}

export interface KillCgroupOptions {
  /**
   * How long the processes may take to end, in milliseconds; default 10,000. A process that waits for a
   * device cannot be killed meanwhile.
   */
  readonly timeoutMs?: number;
  /**
   * An abort rejects with the signal's reason: processes that were killed by then stay so, the cgroup is
   * there.
   */
  readonly signal?: AbortSignal;
}

/** The result of the end of a cgroup. */
export interface CgroupEnd {
  /** False: there was none. */
  readonly existed: boolean;
  /**
   * The number of processes of the cgroup, and of the cgroups beneath it, that the kernel has killed because
   * memory ran out; null when there was no memory controller.
   */
  readonly oomKills: number | null;
}

/**
 * Kills every process in a cgroup and beneath it, waits until the last has ended (by the kernel's event) and
 * removes the cgroups, lowest first. A process that comes in meanwhile is killed too. Whoever has ended is in
 * no cgroup, but stays a zombie until its parent looks. May be called again, also at the same time.
 *
 * @throws SystemError (as rejection): `ETIMEDOUT` names the processes that are left; `EDEADLK`: we are in it
 * ourselves, `EBUSY`: it is the root of the hierarchy, `EINVAL`: no cgroup v2. With these three nothing has
 * been killed.
 */
export function killCgroup(path: string, options: KillCgroupOptions = {}): Promise<CgroupEnd> {
  const { timeoutMs = KILL_TIMEOUT_MS, signal } = object(options, 'options');
  const folder = absolute(path, 'path');
  return abortable(signal, () => loadAddon().killCgroup(folder, timeoutMs));
}
