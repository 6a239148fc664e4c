import { copyFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fakeFirecrackerPath } from './programs.js';

/**
 * What a VMM does instead: `answer` says `status` and `message` and does nothing; `hang` serves nobody any
 * more; `delay` waits `ms` and goes on; `exit` ends with `code` before anything is done, `exit-after` when it
 * was done and not yet answered; `signal` ends by `signal`, as a crash does; `disk-full` is what a dump
 * meets; `console-flood` writes `bytes` to the console; `panic` is the guest's, with `message`;
 * `silent-agent`: nobody listens in the guest; `pose`: the program is the release that `message` names,
 * 1.17.0 besides its own.
 *
 * A VMM that somebody has taken over answers as no Firecracker does: `endless` has a body without end, `rant`
 * refuses with `message` and `bytes` more, `drip` sends a header a byte each `ms`, `too-long` and `too-short`
 * lie about the length of `message`, `say` answers `status` with the body `message`, `cut` ends with `code`
 * in the middle of an answer. Or it does as asked and, before it answers, as it likes with the file `path`:
 * `grow` makes it `bytes` long, `fill` adds `bytes`, `link` (to `message`), `fifo`, `socket` and `folder` put
 * something else in its place.
 */
export type FaultAct =
  | 'answer'
  | 'hang'
  | 'delay'
  | 'exit'
  | 'exit-after'
  | 'signal'
  | 'disk-full'
  | 'console-flood'
  | 'panic'
  | 'silent-agent'
  | 'pose'
  | 'endless'
  | 'rant'
  | 'drip'
  | 'too-long'
  | 'too-short'
  | 'say'
  | 'cut'
  | 'grow'
  | 'fill'
  | 'link'
  | 'fifo'
  | 'socket'
  | 'folder';

export interface FaultRule {
  /**
   * When: `release` (`pose`, whatever the program is called for), `start` (of the process: `exit`, `signal`,
   * `delay`, `hang`), `guest-up` (`exit`, `signal`, `panic`, `silent-agent`, `console-flood`), `dump` (of
   * memory: `disk-full`, `delay`, `exit`, `signal`), `request` (any of them), or one by method and path, such
   * as `PUT /snapshot/create` (`answer`, `hang`, `delay`, `exit`, `exit-after`, `signal`, and all that a VMM
   * does that somebody has taken over).
   */
  readonly on: string;
  readonly do: FaultAct;
  /** How many times it passes first. Default 0. */
  readonly skip?: number;
  /** How many times it happens then; 0: always. Default 1. */
  readonly times?: number;
  readonly ms?: number;
  /** Default 1. */
  readonly code?: number;
  /** Default 11, SIGSEGV. */
  readonly signal?: number;
  /** Default 400. */
  readonly status?: number;
  /** Default 1 MiB. */
  readonly bytes?: number;
  /** As the VMM sees it. */
  readonly path?: string;
  readonly message?: string;
}

/**
 * Makes a `firecracker` in a folder, whose VMMs follow the rules, jailed by the double of the jailer or not.
 * Answers with its path. Of several rules for one occurrence the first counts.
 */
export async function faultyFirecracker(directory: string, rules: readonly FaultRule[]): Promise<string> {
  const path = join(directory, 'firecracker');
  await copyFile(fakeFirecrackerPath(), path);
  await writeFaults(path, rules);
  return path;
}

/** Changes the rules for the VMMs that are started from now on; one that runs keeps its own. */
export async function writeFaults(firecrackerPath: string, rules: readonly FaultRule[]): Promise<void> {
  const staged = `${firecrackerPath}.faults.json.new`;
  await writeFile(staged, JSON.stringify(rules));
  await rename(staged, `${firecrackerPath}.faults.json`);
}
