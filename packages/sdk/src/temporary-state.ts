import { spawn } from 'node:child_process';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { VmRuntimeError } from '@microvm/runtime';

/** A state directory that does not outlive this process, however the process ends. */
export interface TemporaryState {
  readonly path: string;
  /** Idempotent. */
  remove(): Promise<void>;
}

/**
 * Makes the folder. Two things remove it: `remove()`, and a tiny process that waits for the end of this one,
 * however that comes about. Errors: INVALID_ARGUMENT where `TMPDIR` names no folder.
 */
export async function createTemporaryState(): Promise<TemporaryState> {
  const path = await makeFolder();
  const dismissGuard = guard(path);
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true });
      dismissGuard();
    },
  };
}

async function makeFolder(): Promise<string> {
  try {
    // The kernel names a process's folder by its real path.
    return await realpath(await mkdtemp(join(tmpdir(), 'microvm-')));
  } catch (error) {
    const message = `make a temporary state directory in "${tmpdir()}": ${(error as Error).message}`;
    throw new VmRuntimeError('MICROVM_INVALID_ARGUMENT', message, {
      details: { path: 'TMPDIR', expected: 'a folder in which this process may make one' },
      cause: error,
      remedy: 'set TMPDIR, or choose a `stateDir`',
    });
  }
}

// `read` ends when the other end of its pipe is closed, which the kernel does however this process ended. The
// folder must not go before its VMs, which their own watcher ends. Where that watcher was killed too, the
// folder stays, and whoever opens it ends the VMs.
const GUARD_SCRIPT = `read -r _
while ls -l /proc/[0-9]*/cwd /proc/[0-9]*/root 2> /dev/null | grep -qF -- "-> $1/"; do sleep 1; done
rm -rf -- "$1"`;

function guard(path: string): () => void {
  const shell = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'microvm-guard', path], {
    // A session of its own: Ctrl-C in the terminal must not reach it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  // Without the guard only the folder of a killed process stays; the VMs have their driver's own watcher.
  shell.on('error', () => undefined);
  shell.stdin.on('error', () => undefined);
  (shell.stdin as Socket).unref();
  shell.unref();
  return () => shell.stdin.end();
}
