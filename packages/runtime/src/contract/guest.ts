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

/** A program and its arguments. */
export type Argv = readonly [string, ...string[]];

/** A command to run in the guest. */
export interface ExecRequest {
  /**
   * Program and arguments; the program is looked up in the `PATH` of the command's environment. No shell is
   * involved. When absent, the ENTRYPOINT and the CMD of the VM's image; without such an image the start
   * fails with the step `argv`.
   */
  readonly argv?: Argv;
  /**
   * Over the VM's environment, which is over that of the VM's image, which is over the guest's defaults: the
   * agent's own environment, with `HOME`, `SHELL`, `USER` and `LOGNAME` of `user` and `TERM` of `pty` where
   * these are given. With `argv` and the VM's environment at most 1 MiB.
   */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Variables whose values are secrets of the VM: `{ TOKEN: 'registry' }` gives the secret `registry` as
   * `TOKEN`, over `env` of the VM. The guest fills them in. A secret that is not there fails the start with
   * the step `secrets`.
   */
  readonly secrets?: Readonly<Record<string, string>>;
  /**
   * Working directory in the guest, entered as `user`. Default: that of the VM's image, which is made where
   * it is absent, else `/`.
   */
  readonly cwd?: string;
  /**
   * Who runs it: a name or a number, or `user:group` with a name or a number each, as the guest's /etc/passwd
   * and /etc/group have them. A user has its supplementary groups; `user:group` has that group alone. A
   * number without an entry has the group of the same number. Default: the user of the VM's image, else
   * whoever the agent is, which is root when the agent is the guest's init.
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

/** Bytes of each output, counted from its begin. */
export interface OutputOffsets {
  readonly stdout: number;
  readonly stderr: number;
}

/**
 * A command that runs without a reader, until one attaches by its id. As long as nobody reads, the guest
 * keeps the last 256 KiB of each output; how it ended is kept too.
 */
export interface DetachedExecRequest extends Omit<ExecRequest, 'maxOutputBytes'> {
  readonly detached: true;
  /**
   * Bytes for the command's standard input, which is closed after them. When absent, the input stays open for
   * whoever attaches.
   */
  readonly input?: string | Uint8Array;
  /** Until the command runs: aborting ends the command. Later it has no effect. */
  readonly signal?: AbortSignal;
  /** Until the command runs and the guest has its input, in milliseconds; then the command is ended. */
  readonly timeoutMs?: number;
}

export interface AttachOptions {
  /**
   * The first byte of each output to read, such as the `offsets` of an earlier reader. Default: the first
   * that the command wrote. What the guest does not keep any more is told as missing.
   */
  readonly from?: OutputOffsets;
  /** Bytes for the standard input, which is closed after them. When absent, `stdin` stays open. */
  readonly input?: string | Uint8Array;
  /** As of `ExecRequest`; a longer output ends the reading, not the command. */
  readonly maxOutputBytes?: number;
  /** Aborting ends the reading, not the command. */
  readonly signal?: AbortSignal;
  /** From the call to the command's end, in milliseconds; then the reading ends, not the command. */
  readonly timeoutMs?: number;
}

/** A command that was started with `detached`. */
export interface DetachedCommand {
  /** 16 hex digits: names the command in this guest, for any process that owns the VM. */
  readonly id: string;
  /** See `Guest.attach`. */
  attach(options?: AttachOptions): ExecProcess;
  /** See `ExecProcess.kill`. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** A command of the guest, as its agent tells of it. */
export interface GuestCommand {
  readonly id: string;
  /** Program and arguments, the first 256 bytes. */
  readonly command: string;
  readonly state: 'running' | 'ended';
  /** In the guest; null: the command has ended. */
  readonly pid: number | null;
  /** Null while it runs, and when a signal ended it. */
  readonly exitCode: number | null;
  /** Name of the signal that ended it; else null. */
  readonly signal: string | null;
  /** It was started with `detached`, or a reader has left it. */
  readonly isDetached: boolean;
  /** It has a `pty`. */
  readonly hasTerminal: boolean;
  /** Somebody reads it now: another reader is refused with `MICROVM_GUEST_BUSY`. */
  readonly hasReader: boolean;
  /** By the guest's clock, in milliseconds since 1970. */
  readonly startedAtMs: number;
  /** Which bytes of each output the guest has: from `from`, up to but not including `to`. */
  readonly kept: Readonly<Record<'stdout' | 'stderr', { readonly from: number; readonly to: number }>>;
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
  /**
   * Only of an attached command: how many bytes of each output from `from` on were not kept by the guest and
   * are not in `stdout` and `stderr`. A command that was started by this process has all of it: lost bytes
   * reject its result.
   */
  readonly missingBytes?: OutputOffsets;
}

/** A piece of output as it arrived. */
export interface ExecChunk {
  readonly stream: 'stdout' | 'stderr';
  /** Empty only where `missingBytes` is all that there is to tell. */
  readonly data: Buffer;
  /** How many bytes of the stream come before `data`. */
  readonly offset: number;
  /** How many bytes right before `data` were lost, because the guest could not keep them; else 0. */
  readonly missingBytes: number;
}

/**
 * A command in the guest. Iterate it for output as it comes (a slow reader slows the command down, nothing is
 * dropped) or await `result` for the whole; not both.
 */
export interface ExecProcess extends AsyncIterable<ExecChunk> {
  /** See `DetachedCommand.id`. A guest whose agent speaks protocol 1 knows no ids. */
  readonly id: string;
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
  /** The first byte of each output that this reader has not taken: what `AttachOptions.from` goes on with. */
  readonly offsets: OutputOffsets;
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
  /**
   * Leaves the command to itself, as if it had been started with `detached`, and resolves with `offsets`. Who
   * iterates finds the end; `result` rejects with `MICROVM_EXEC_FAILED`, `details.step` being `detach`. What
   * was written to `stdin` and not sent by then is lost. Errors: UNSUPPORTED (an agent of protocol 1),
   * GUEST_BUSY (the command was not started yet, and now will not be).
   */
  detach(): Promise<OutputOffsets>;
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
   * `details.step` says what failed: `argv`, `user`, `rlimits`, `pty`, `cwd`, `exec`. A wrong request throws
   * `MICROVM_INVALID_ARGUMENT`. `MICROVM_UNSUPPORTED`: the guest was restored from a snapshot whose agent
   * speaks protocol 1, which has no `user`, `rlimits` and `pty`.
   *
   * A reader that loses the guest's channel, by a snapshot or a reset, goes on in the next one where it
   * stood: no byte is lost and none comes twice, in either direction. The guest waits for it for a minute
   * and holds the command up meanwhile. After that the command goes on without a reader and with its input
   * closed, and the guest keeps its last output and its end as of a detached one.
   *
   * With `detached` the command has no reader from the beginning. Resolves with a handle when the command
   * runs; errors of the start reject.
   */
  exec(request: DetachedExecRequest): Promise<DetachedCommand>;
  exec(request: ExecRequest): ExecProcess;
  /**
   * The commands that run in the guest, in the order of their starts, whoever started them, and those that
   * have ended without a reader. In a restored VM these are the commands of its source that go on there. The
   * guest keeps at most 64 ends, with at most 8 MiB of output, for at most 24 hours. Errors: TIMEOUT (10 s by
   * default), UNSUPPORTED (an agent of protocol 1).
   */
  commands(options?: {
    readonly signal?: AbortSignal;
    readonly timeoutMs?: number;
  }): Promise<readonly GuestCommand[]>;
  /**
   * Reads a command that runs already, or has ended and is kept, from any process that owns the VM. While it
   * reads, the command is held up rather than that a byte is lost. The end of the reading, by `detach`, an
   * abort or a deadline, leaves the command to itself; a reader that has read the end lets the guest forget
   * the command. Errors of `result`: EXEC_FAILED (`details.step` is `attach`: ESRCH, no such command; EINVAL,
   * `from` lies behind its output), GUEST_BUSY (it has a reader), OUTPUT_LIMIT, TIMEOUT, UNSUPPORTED
   * (an agent of protocol 1). A wrong argument throws `MICROVM_INVALID_ARGUMENT`.
   */
  attach(id: string, options?: AttachOptions): ExecProcess;
  /**
   * Sends a signal, `SIGTERM` by default, to a command by its id, as `ExecProcess.kill` does, whoever reads
   * it. To a command that has ended, or that the guest does not know, it does nothing. Errors:
   * INVALID_ARGUMENT, TIMEOUT (10 s), UNSUPPORTED (an agent of protocol 1).
   */
  kill(id: string, signal?: NodeJS.Signals): Promise<void>;
}
