import type { Writable } from 'node:stream';

/** A command to run in the guest. */
export interface ExecRequest {
  /** Program and arguments; the program is looked up in the guest's `PATH`. No shell is involved. */
  readonly argv: readonly [string, ...string[]];
  /** Added to the agent's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory in the guest. Default `/`. */
  readonly cwd?: string;
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

/** The result of a command that ended. Exactly one of `exitCode` and `signal` is not null. */
export interface ExecResult {
  readonly exitCode: number | null;
  /** Name of the signal that ended it, such as `SIGKILL`. */
  readonly signal: string | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
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
  /** Resolves when the command ended, whatever its exit code. */
  readonly result: Promise<ExecResult>;
  /**
   * Sends a signal, `SIGTERM` by default, to the command's process group; `SIGKILL` to all that the command
   * started.
   */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Facts that the agent tells of itself and its guest. */
export interface GuestInfo {
  readonly agentVersion: string;
  /** Rises with every restore: what an earlier life of the guest sent is told apart by it. */
  readonly epoch: number;
  /** `uname -r` of the guest. */
  readonly kernelRelease: string;
}

/**
 * A running guest as its agent shows it. Calls reject with `MICROVM_GUEST_UNREACHABLE` when the agent is
 * gone.
 */
export interface Guest {
  /** A round trip to the agent. */
  ping(options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<GuestInfo>;
  /**
   * Starts a command. Errors of the start itself (no such program) reject `result` with
   * `MICROVM_EXEC_FAILED`.
   */
  exec(request: ExecRequest): ExecProcess;
}
