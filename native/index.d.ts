/**
 * System primitives for microVMs. Linux only. Importing this module does nothing: the addon is loaded by the
 * first call, which throws an error that names platform, architecture, C library and remedy when it cannot be.
 *
 * Every system error has Node's own shape ({@link SystemError}). Wrong arguments are a `TypeError`, thrown
 * synchronously, before any effect (also by the functions that return a promise).
 */

export * from './cgroup.js';
export * from './files.js';
export * from './network.js';
export * from './waits.js';

/** What system errors of this package look like: the same fields as `node:fs` errors. */
export interface SystemError extends Error {
  /** The symbolic name, such as `ENOENT`. */
  readonly code: string;
  /** The negative error number, as in Node. */
  readonly errno: number;
  /** The step that failed: the name of a system call. */
  readonly syscall: string;
  /** The file the step was about, when there is one. */
  readonly path?: string;
}

/**
 * The last argument of every call that returns a promise, or a part of its options. An abort rejects with the signal's reason.
 * What has been done by then: see the call. Without a word there it is one step long, which either has not begun or is carried
 * through, so that an abort that comes later has no effect.
 */
export interface AbortOptions {
  readonly signal?: AbortSignal;
}

/** Names one process for ever: a pid alone is used again, the three together are not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of `/proc/<pid>/stat`: clock ticks since boot, in decimal. */
  readonly startTime: string;
  /** `/proc/sys/kernel/random/boot_id` of the boot in which the process lives. */
  readonly bootId: string;
}

/**
 * The identity of a living process (a zombie counts as living until it is reaped), or undefined when no process
 * has this pid.
 */
export function processIdentity(pid: number): ProcessIdentity | undefined;

/** The id of this boot of the host: a process or cache of another boot is never taken for one of this. */
export function bootId(): string;

/** How a process ended. */
export interface ProcessExit {
  /**
   * The exit code; null when a signal ended the process; `'unknown'` when the kernel did not tell. That is so for
   * a process that is not our child (before Linux 6.15, which does tell), and for one that was gone already.
   */
  readonly exitCode: number | null | 'unknown';
  /** The name of the signal that ended the process, such as `SIGKILL`; else null. */
  readonly signal: NodeJS.Signals | null;
}

/** A process whose end is watched through a pidfd; signals can never reach a later process with the same pid. */
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
  /** Takes back {@link ProcessWatch.ref}; this is how a watch starts. Idempotent. Returns itself. */
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
   * `/dev/null` when not given. The child has no other descriptor. You may close yours as soon as the call has returned.
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

/**
 * Starts a process: own session (no terminal signal reaches it), default signal handlers, no signal blocked, only
 * the descriptors given. Nothing is copied from our memory, so a big heap costs nothing; the event loop is not held.
 * Resolves when the new program has been executed.
 *
 * @throws SystemError (as rejection) of the step that failed, also when that step was in the child: `execve`, `chdir`,
 * `setns`, `setresuid`…; nothing is left then.
 */
export function spawnProcess(options: SpawnOptions): Promise<SpawnedProcess>;

/**
 * Watches a process that is not our child (adopted after a restart). A pid that was used again by another process, or
 * an identity of an earlier boot, counts as gone: `exited` resolves with exit code `'unknown'` and `kill` returns false.
 *
 * @throws SystemError when the pidfd cannot be had (`EMFILE`…).
 */
export function watchProcess(identity: ProcessIdentity): ProcessWatch;

/**
 * Which processes a search is for: those that all given fields are true of. Nobody but root can make a process whose `uid`, `cgroup`
 * and `root` are those of a VM; its arguments anybody can write. The command line is read last, and only of candidates.
 */
export interface ProcessQuery {
  /** Only these: what is known of a recorded process now. */
  readonly pids?: readonly number[];
  /** Real and effective user. */
  readonly uid?: number;
  /** The path in cgroup v2 as `/proc/<pid>/cgroup` has it: below the mount, with a leading slash. */
  readonly cgroup?: string;
  /** The root folder or the working directory. Folders are compared as files, so a jail in a mount namespace of its own is recognised. */
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
  /** The links of `/proc/<pid>`, as the process's own mount namespace names the folders; empty when we may not see them. */
  readonly root: string;
  readonly cwd: string;
  /** As of {@link ProcessQuery.cgroup}; empty where there is no cgroup v2. */
  readonly cgroup: string;
  /** The command line, argv[0] first; its first 128 KiB. */
  readonly args: readonly string[];
}

/** A process of which `/proc` did not tell by the deadline whether it is one of those looked for. It may be. */
export interface UnansweredProcess {
  readonly pid: number;
  /** Known by then; a process that was unanswered in an earlier search, and is not read again until that read ends, has neither. */
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
 * Looks for processes; never our own. A hostile process can make a read of its `/proc/<pid>/cmdline` wait for ever (its memory lies
 * on a file system that does not answer). Threads of their own do such reads, and a search ends at its deadline without them. At most
 * 64 such threads are left behind in a process. An abort rejects at once.
 *
 * @throws SystemError (as rejection): `ENOENT` when `root` or `cwd` is not there…
 */
export function searchProcesses(query: ProcessQuery, options?: AbortOptions): Promise<ProcessSearchResult>;

/**
 * The processes of which at least one argument contains the needle, sorted by pid, as far as `/proc` answers:
 * {@link searchProcesses} says which did not.
 *
 * @throws TypeError for an empty needle.
 */
export function findProcesses(needle: string, options?: AbortOptions): Promise<FoundProcess[]>;

/** Held until `release()` or the end of this process, however it ends. */
export interface DirectoryLock {
  /** Lets go. Idempotent, synchronous; the file stays (to remove it would let two owners in). */
  release(): void;
}

/** Why a directory could not be locked; `pid` and `startTime` name the holder when they could be read. */
export interface LockHeldError extends SystemError {
  readonly code: 'EWOULDBLOCK';
  readonly pid?: number;
  readonly startTime?: string;
}

/**
 * Takes the exclusive lock of a directory (flock on `<path>/lock`). It is not inherited by processes made with
 * {@link spawnProcess} or `node:child_process`. A second lock in the same process fails too.
 * An abort lets go of it.
 *
 * @throws LockHeldError (as rejection) when it is held; SystemError otherwise.
 */
export function lockDirectory(path: string, options?: AbortOptions): Promise<DirectoryLock>;

export interface WriteDurableOptions extends AbortOptions {
  /**
   * For a file that is written again and again: the one that is replaced stays beside it as `.spare-<name>` and is the one that is
   * written next time, so that the file system need not make and free a file each time. Whoever opened the file two writes ago may
   * read a mixture then. Without effect where the file system cannot exchange names (`RENAME_EXCHANGE`). Default: false.
   */
  readonly keepSpare?: boolean;
}

/**
 * Replaces a file atomically and durably: when the promise resolves, the new content survives a power cut; a crash at any
 * moment leaves the old or the new content. A temporary file named `.tmp-<16 hex digits>` exists beside the
 * target meanwhile (only a kill leaves one behind). Mode 0600 for a new file, that of the old one else.
 *
 * Calls in flight at the same time are committed together, so many at once cost little more than one. Calls on the same
 * path take effect in the order they were made; so do those on a folder and on what is in it.
 *
 * An abort is of use only before the call: afterwards nobody could say which of the two contents a crash would leave.
 *
 * @throws SystemError (as rejection); the old content is untouched then, unless the syscall is `fsync` of the folder.
 */
export function writeDurable(
  path: string,
  data: Uint8Array | string,
  options?: WriteDurableOptions,
): Promise<void>;

/** Unlinks a file, durably. Ordered and committed together with {@link writeDurable}. `ENOENT` when there is none. */
export function removeDurable(path: string, options?: AbortOptions): Promise<void>;

/**
 * Renames a file or folder, durably in both folders; what is at `to` is replaced as by rename(2). Ordered and committed
 * together with {@link writeDurable}.
 */
export function renameDurable(from: string, to: string, options?: AbortOptions): Promise<void>;

/**
 * Connects to a unix stream socket. The path may have any length (Node and the kernel stop at 107 bytes). An abort closes it.
 *
 * @returns a connected, non-blocking, close-on-exec descriptor; the caller owns it: `new net.Socket({ fd })`.
 * @throws SystemError (as rejection): `ENOENT`, `ECONNREFUSED`, `EAGAIN` when the listener's queue is full…
 */
export function connectUnix(path: string, options?: AbortOptions): Promise<number>;

export interface ListenOptions {
  /** Permission bits of the socket file; default 0o600. It never has more than these, not even for a moment. */
  readonly mode?: number;
  /** Default 511. */
  readonly backlog?: number;
  /** An abort closes the socket and removes its file. */
  readonly signal?: AbortSignal;
}

/**
 * Binds and listens on a unix stream socket. The path may have any length.
 *
 * @returns a listening, non-blocking, close-on-exec descriptor; the caller owns it: `server.listen({ fd })`; and the
 * caller unlinks the path at the end.
 * @throws SystemError (as rejection): `EADDRINUSE` when the path exists…
 */
export function listenUnix(path: string, options?: ListenOptions): Promise<number>;

/**
 * Sends data with descriptors (SCM_RIGHTS) over a connected unix socket. All of the data is written before it returns; the
 * descriptors go with its first byte and stay open here. For short messages: it waits up to 1 s for room in the socket.
 *
 * @param data at least one byte. @param fds 1 to 253 descriptors.
 * @throws SystemError; `ETIMEDOUT` when the peer did not read.
 */
export function sendDescriptors(socketFd: number, data: Uint8Array, fds: readonly number[]): void;

/** One thing that the probe found: a finding of a driver's report but for how bad it is, which the driver knows. */
export interface KvmFinding {
  readonly code: KvmFindingCode;
  readonly message: string;
  readonly remedy: string;
}

export type KvmFindingCode =
  | 'kvm-device-missing'
  | 'kvm-permission-denied'
  | 'kvm-device-busy'
  | 'kvm-device-error'
  | 'kvm-api-version'
  | 'kvm-extension-missing'
  | 'kvm-cannot-create-vm'
  | 'kvm-cannot-run-code'
  | 'kvm-cannot-handle-exceptions'
  | 'kvm-no-timer-interrupt'
  | 'kvm-too-slow'
  | 'kvm-arch-unsupported';

/** One step of the tiny guest. */
export interface KvmStage {
  /**
   * In this order: 16-bit code; 64-bit code with paging; an exception through the IDT and back; a timer interrupt;
   * instructions of the Linux kernel that some hosts cannot interpret; two million instructions within 200 ms of
   * processor time, as some hosts interpret all kernel code.
   */
  readonly name: 'real-mode' | 'long-mode' | 'exception' | 'timer-interrupt' | 'kernel-code' | 'speed';
  readonly passed: boolean;
  /** What the virtual CPU did last, such as `KVM_EXIT_INTERNAL_ERROR (suberror 1, emulation failure)`. */
  readonly detail: string;
}

export interface KvmReport {
  /** True only when a guest took an exception and a timer interrupt in 64-bit mode, at a processor's speed. */
  readonly usable: boolean;
  /** What is wrong, worst first; empty when usable. */
  readonly findings: readonly KvmFinding[];
  /** KVM_GET_API_VERSION; null when the device could not be opened. */
  readonly apiVersion: number | null;
  /** True when this host is itself a virtual machine (then KVM here is nested, when it works at all). */
  readonly isNested: boolean;
  /** The steps that were run; empty when it did not come to that. A step after a failed one is not run. */
  readonly stages: readonly KvmStage[];
  readonly durationMs: number;
}

/**
 * Finds out whether KVM can run Linux here, by running a tiny guest. Takes a few milliseconds on a processor, never
 * more than five seconds, on a thread of its own. A host without KVM is a report, not an error. An abort rejects at once; the
 * tiny guest ends by itself.
 */
export function probeKvm(options?: AbortOptions): Promise<KvmReport>;

/**
 * The path of the static executable `microvm-watcher`. Start it with {@link spawnProcess}, the reading end of a pipe (or a
 * socket) as descriptor 3, and write lines to the other end:
 *
 * - `add <pid> <startTime> <directory>` — the directory is absolute and is the rest of the line, or `-` for none; another one of the
 *   same process comes on top;
 * - `del <pid>` — forget it.
 *
 * When the other end is closed, however the owner ended, it kills each listed process that still has its start time, waits for
 * its end, removes the directory trees, in the order given (follows no link, crosses no mount; a cgroup too), and exits 0. Lines that make no sense
 * are ignored and counted on standard error.
 */
export function watcherPath(): string;
