import type { Duplex, Writable } from 'node:stream';
import type { GuestMetrics } from './guest-metrics.js';
import type { GuestFiles } from './guest-files.js';

/** The size of a terminal's window, in characters: 1 to 65,535 each. */
export interface PtySize {
  readonly cols: number;
  readonly rows: number;
}

export interface PtyOptions extends PtySize {
  /** The variable `TERM`, at most 64 bytes. Default: the guest's own. */
  readonly term?: string;
}

/**
 * What a command may use, soft and hard limit alike, as setrlimit(2) has them; each process of the command
 * has them for itself.
 */
export interface ExecLimits {
  /** Seconds of processor time; then SIGXCPU. */
  readonly cpuSeconds?: number;
  /** Bytes of address space; allocations beyond it fail with ENOMEM. */
  readonly addressSpaceBytes?: number;
  /** Bytes of a file that it writes; beyond it SIGXFSZ. */
  readonly fileSizeBytes?: number;
  /** Descriptors, one more than the highest; beyond it EMFILE. */
  readonly openFiles?: number;
  /** Processes and threads of the command's user in the whole guest, root excepted; beyond it EAGAIN. */
  readonly processes?: number;
}

/** A command to run in the guest. */
export interface ExecRequest {
  /**
   * Program and arguments; the program is looked up in the `PATH` of the command's environment. No shell is
   * involved.
   */
  readonly argv: readonly [string, ...string[]];
  /**
   * Over the VM's environment, which is over the guest's defaults: the agent's own environment, with `HOME`,
   * `SHELL`, `USER` and `LOGNAME` of `user` and `TERM` of `pty` where these are given. With `argv` and the
   * VM's environment at most 1 MiB.
   */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory in the guest, entered as `user`. Default `/`. */
  readonly cwd?: string;
  /**
   * Who runs it: a name or a number, or `user:group` with a name or a number each, as the guest's /etc/passwd
   * and /etc/group have them. A user has its supplementary groups; `user:group` has that group alone. A
   * number without an entry has the group of the same number. Default: whoever the agent is, which is root
   * when the agent is the guest's init.
   */
  readonly user?: string | number;
  readonly rlimits?: ExecLimits;
  /**
   * Runs it on a terminal of the guest, with the guest's own line discipline: what is written to `stdin` is
   * typed (`\u0003` is Ctrl-C), all output is one stream, `stdout`, and the end of the input is the
   * terminal's end-of-file character.
   */
  readonly pty?: PtyOptions;
  /**
   * Bytes for the command's standard input, which is closed after them. When absent, `stdin` of the process
   * is open for writing.
   */
  readonly input?: string | Uint8Array;
  /**
   * Bytes of each output stream that `result` keeps, 1 MiB by default. A longer output ends the command and
   * rejects with `MICROVM_OUTPUT_LIMIT`; nothing is cut silently. Iterating the process is not limited.
   */
  readonly maxOutputBytes?: number;
  /**
   * Aborting kills all that the command started in the guest, also a child that called `setsid` where the
   * guest has cgroup v2; the result rejects with the signal's reason.
   */
  readonly signal?: AbortSignal;
  /**
   * From the call to the command's end, in milliseconds; then the command is killed and the result rejects
   * with `MICROVM_TIMEOUT`.
   */
  readonly timeoutMs?: number;
}

/** What a command has written so far. */
export interface ExecOutput {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/**
 * What a command left: exactly one of `exitCode` and `signal` is not null. In the `result` of an error both
 * are null when the guest did not confirm the command's end.
 */
export interface ExecResult extends ExecOutput {
  readonly exitCode: number | null;
  /** Name of the signal that ended it, such as `SIGKILL`. */
  readonly signal: string | null;
}

/** A piece of output as it arrived. */
export interface ExecChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Buffer;
}

/**
 * A command in the guest. Iterate it for output as it comes (a slow reader slows the command down, nothing is
 * dropped) or await `result` for the whole; not both.
 */
export interface ExecProcess extends AsyncIterable<ExecChunk> {
  readonly stdin: Writable;
  /**
   * Resolves when the command ended, whatever its exit code. A `MICROVM_TIMEOUT` or `MICROVM_OUTPUT_LIMIT`
   * has in its `result` what was read by then.
   */
  readonly result: Promise<ExecResult>;
  /**
   * What `result` has read so far: after an abort too, whose reason is the caller's own and carries nothing.
   */
  readonly collected: ExecOutput;
  /**
   * Sends a signal, `SIGTERM` by default, to all that the command started; where the guest has no cgroup v2,
   * and in a guest whose agent speaks protocol 1, to its process group. Resolves when the guest has sent it.
   * To a command that has ended it does nothing.
   */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /**
   * Gives the terminal's window another size; its foreground processes get SIGWINCH. Errors:
   * INVALID_ARGUMENT, also without a `pty`.
   */
  resize(size: PtySize): void;
}

/** Facts that the agent tells of itself and its guest. */
export interface GuestInfo {
  readonly agentVersion: string;
  /** Rises with every restore: what an earlier life of the guest sent is told apart by it. */
  readonly epoch: number;
  /** `uname -r` of the guest. */
  readonly kernelRelease: string;
}

/** Where a connection goes to in the guest. */
export type ConnectTarget =
  /** TCP. `host` is an IP address or `localhost`, by default 127.0.0.1. */
  | { readonly port: number; readonly host?: string }
  /** A unix socket, by its absolute path of at most 107 bytes. */
  | { readonly path: string }
  /** A vsock socket of the guest itself, which needs the guest's vsock_loopback. */
  | { readonly vsockPort: number };

export interface ConnectOptions {
  /** Rejects with the signal's reason until the connection is there; later it has no effect. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** Exactly one of `guestPort` and `guestPath`. */
export interface ForwardOptions {
  readonly guestPort?: number;
  readonly guestPath?: string;
  /** IP address in the guest, with `guestPort`. Default 127.0.0.1. */
  readonly guestHost?: string;
  /** Default: the kernel's choice, which the answer tells. */
  readonly hostPort?: number;
  /** Address of the host to listen on. Default 127.0.0.1, which only this host reaches. */
  readonly host?: string;
}

/** Where the host listens in the guest: exactly as `ConnectTarget` names it. */
export interface ListenOptions {
  /** Permissions of a unix socket's file, up to 0o777; default 0o600: root of the guest alone connects. */
  readonly mode?: number;
  /** Rejects with the signal's reason until the listener is there; later it has no effect. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * Connections that programs of the guest make to the host, in the order in which they came. A connection is
 * accepted when it is asked for: until then it waits in the guest, 16 of them at the agent and as many in the
 * kernel. The iteration ends with `close`, and rejects with `MICROVM_GUEST_UNREACHABLE` when the guest's life
 * ends.
 */
export interface GuestListener extends AsyncIterable<Duplex>, AsyncDisposable {
  readonly target: ConnectTarget;
  /** Listens no more; connections that were accepted go on. Idempotent. */
  close(): Promise<void>;
}

/** A listener on the host whose connections go to the guest. */
export interface PortForward extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Listens no more and resets what is connected. Idempotent. */
  close(): Promise<void>;
}

/**
 * A running guest as its agent shows it. Calls reject with `MICROVM_GUEST_UNREACHABLE` when the agent is
 * gone.
 */
export interface Guest {
  /** The guest's files, as `node:fs/promises` has a host's. */
  readonly files: GuestFiles;
  /**
   * Opens a connection to a socket in the guest, with or without a network. Each direction of the stream has
   * an end of its own (`allowHalfOpen`) and back-pressure. A reset by the other end destroys the stream with
   * `ECONNRESET`; the end of the session, which a snapshot may bring, destroys it with
   * `MICROVM_GUEST_UNREACHABLE`. Destroying the stream resets the other end.
   * Errors: INVALID_ARGUMENT, CONNECT_FAILED, TIMEOUT (10 s by default), GUEST_BUSY, UNSUPPORTED (an agent of
   * protocol 1).
   */
  connect(target: ConnectTarget, options?: ConnectOptions): Promise<Duplex>;
  /**
   * Listens on the host and hands each connection on to the guest, as `connect` does, until it is closed or
   * the guest's life ends: a stop, a crash, a destroy and a runtime's close close it. What the guest refuses
   * is a reset for whoever connects. At most 64 forwards of a guest and 128 connections of each. Errors:
   * INVALID_ARGUMENT, GUEST_UNREACHABLE, HOST_FAILURE (the port is taken, or there are 64).
   */
  forward(options: ForwardOptions): Promise<PortForward>;
  /**
   * Listens in the guest for the host: on a TCP port, a unix socket or a vsock port of the guest's loopback.
   * Programs of the guest connect there, and the bytes go through the agent's channel, so that no network is
   * needed. A pause holds it up. After a snapshot of this VM, or another cut of the agent's channel, it
   * listens again; connections that waited then are reset. It ends with the guest's life, and a restored
   * guest has none. At most 64 of a guest. Errors: INVALID_ARGUMENT, CONNECT_FAILED (`details.errno`, such as
   * EADDRINUSE), TIMEOUT (10 s by default), GUEST_BUSY, UNSUPPORTED (an agent of protocol 1).
   */
  listen(target: ConnectTarget, options?: ListenOptions): Promise<GuestListener>;
  /** A round trip to the agent. */
  ping(options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<GuestInfo>;
  /**
   * Memory, load, processes and disks as the guest's kernel counts them. Errors: TIMEOUT (10 s by default),
   * UNSUPPORTED (an agent of protocol 1).
   */
  metrics(options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<GuestMetrics>;
  /**
   * Starts a command. Errors of the start itself reject `result` with `MICROVM_EXEC_FAILED`, whose
   * `details.step` says what failed: `user`, `rlimits`, `pty`, `cwd`, `exec`. A wrong request throws
   * `MICROVM_INVALID_ARGUMENT`. `MICROVM_UNSUPPORTED`: the guest was restored from a snapshot whose agent
   * speaks protocol 1, which has no `user`, `rlimits` and `pty`.
   */
  exec(request: ExecRequest): ExecProcess;
}
