import type { CrashTask } from '../crashes/run-crash-child.js';

/** The disk of a host, as its child process mounts it. */
export interface MountTask {
  readonly device: string;
  readonly options: readonly string[];
  readonly folder: string;
}

/** A file that VMs get as a private drive. */
export interface DriveTask {
  readonly path: string;
  readonly sha256: string;
}

/** The drive's id, which its copies are named by. No guest mounts it. */
export const DRIVE_ID = 'kept';

interface OnDisk {
  readonly mount: MountTask;
  readonly drive: DriveTask;
}

/**
 * Makes a golden snapshot on an empty file system, and, where it is asked to, runs each of the scenarios once
 * to note its steps.
 */
export interface PrepareTask extends OnDisk {
  readonly kind: 'prepare';
  readonly scenarios: readonly string[];
}

export interface Prepared {
  readonly golden: string | undefined;
  /** By the scenario's title. */
  readonly steps: Readonly<Record<string, readonly string[]>>;
  /** Of the state directory that holds nothing but the golden snapshot. */
  readonly files: readonly string[];
}

/** A step of the caller's own: the call has been answered. */
export const ANSWERED = 'answered';

/** Acts until the power is cut in the step; where that is `ANSWERED`, this long after it. */
export interface ActTask extends OnDisk, Omit<CrashTask, 'stateDir'> {
  readonly kind: 'act';
  readonly pauseMs: number;
}

/** Opens what is left on the next boot, and compares it with what it must be. */
export interface LookTask extends OnDisk, Omit<CrashTask, 'stateDir' | 'nth'> {
  readonly kind: 'look';
  readonly files: readonly string[];
}

export type PowerCutTask = PrepareTask | ActTask | LookTask;

/** What a child answers to `prepare` and `look`; it does not survive an `act`. */
export interface Answer {
  /** What is wrong; undefined for nothing. */
  readonly problem?: string;
  readonly prepared?: Prepared;
}

/**
 * The child's descriptor of the channel on which it says that it is in its step, and hears what to do there.
 */
export const PLACE = 4;
