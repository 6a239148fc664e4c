import type { ScriptedCommand, ScriptedEnd, ScriptedServer, ScriptedSocket } from '@microvm/guest';
import type { ConnectTarget, GuestMetrics } from '@microvm/runtime';
import type { GuestDisk } from '../driver/disks.js';

export type MemoryValue = string | number | boolean | null | MemoryValue[] | { [key: string]: MemoryValue };

/**
 * What a guest keeps in memory: JSON. A snapshot carries it, a restored guest goes on from it, a boot begins
 * with an empty one.
 */
export type GuestMemory = Record<string, MemoryValue>;

/** A connection that a command has taken, open until `close` or `reset`. */
export interface ScriptedConnection extends ScriptedSocket {
  /** The end of what is sent. */
  close(): void;
  reset(): void;
}

/**
 * The guest that a script is in. While the VM is paused its time stands still: `sleep` does not end before it
 * goes on.
 */
export interface ScriptedGuest {
  readonly memory: GuestMemory;
  /** What `uname -r` says. */
  readonly kernelRelease: string;
  readonly hostname: string;
  /** Lives of the guest: rises with each restore. */
  readonly epoch: number;
  /**
   * The VM's secrets by name, each with who may read it; empty: root. In a real guest files of /run/secrets.
   */
  readonly secrets: ReadonlyMap<string, { readonly bytes: Buffer; readonly owner: string }>;
  /** Takes the next connection to this TCP port of the guest. Rejects when the signal aborts. */
  listen(port: number, signal: AbortSignal): Promise<ScriptedConnection>;
  /**
   * Connects to what listens in this guest: a server of `serverAt`, a command that waits in `listen`, or the
   * host (`guest.listen`). Rejects with a `ScriptedErrno` `ECONNREFUSED` when nobody listens there, and with
   * the signal's reason.
   */
  dial(target: ConnectTarget, signal?: AbortSignal): Promise<ScriptedConnection>;
  /** The TCP ports on which a command waits for a connection. */
  listeningPorts(): readonly number[];
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after so much of the guest's time; rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** The root disk, or the drive of this id; undefined when there is none. */
  disk(driveId?: string): GuestDisk | undefined;
  /** Writes to the serial port. */
  console(text: string): void;
  powerOff(): void;
  reboot(): void;
  panic(message?: string): void;
}

/** A command that was started in the guest. */
export type GuestCommand = ScriptedCommand;

/**
 * Serves one connection. Its end is the end of what it sends. A `ScriptedErrno` resets the connection; any
 * other error is the one that the host's end is destroyed with.
 */
export type GuestServer = ScriptedServer;

/** How a command ended: its exit code, or the signal that ended it. */
export type CommandEnd = ScriptedEnd;

/** A program of a test: what it answers is its end. */
export type GuestProgram = (command: GuestCommand, guest: ScriptedGuest) => Promise<CommandEnd> | CommandEnd;

/** What guests do. Each part is optional; what a script leaves out, guests do as they do without a script. */
export interface GuestScript {
  /**
   * Runs in each cold boot, before the guest is ready. A rejection: its agent never answers. A promise that
   * stays pending: stuck in boot.
   */
  boot?(guest: ScriptedGuest): Promise<void> | void;
  /**
   * Programs by their name, or by their path. A shell finds them too, wherever they stand in a line:
   * `cat /data | deploy`. They go before the guest's own programs, and throw as `exec` does.
   */
  readonly programs?: Readonly<Record<string, GuestProgram>>;
  /**
   * Runs a command, also one of a shell. `undefined`: the script does not know it, and the guest's own
   * programs are tried. Throw a `ScriptedErrno` for a command that cannot be started; with any other error
   * the command's result rejects with that very error.
   */
  exec?(
    command: GuestCommand,
    guest: ScriptedGuest,
  ): Promise<CommandEnd | undefined> | CommandEnd | undefined;
  /**
   * Answers the server that takes a connection to this target of the guest; `undefined`: the script has none,
   * and `nc -l -p PORT` may have one.
   */
  serverAt?(target: ConnectTarget, guest: ScriptedGuest): GuestServer | undefined;
  /**
   * What `guest.metrics()` tells; what is left out is as the VM's spec has it (processors, memory, all of it
   * free), or 0.
   */
  metrics?(guest: ScriptedGuest): Partial<GuestMetrics>;
  /**
   * Runs when the guest is asked to shut down; it is forced when this takes longer than the spec's
   * `shutdownTimeoutMs`.
   */
  shutdown?(guest: ScriptedGuest): Promise<void> | void;
}
