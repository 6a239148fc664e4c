import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { onProcess } from './process-events.js';

/** A state directory that does not outlive this process, however the process ends. */
export interface TemporaryState {
  readonly path: string;
  /** Idempotent. */
  remove(): Promise<void>;
}

/**
 * Makes the folder. Three things remove it: `remove()`; the end of the process by `process.exit` or an uncaught error; and, as
 * no code of ours runs after a signal or `kill -9`, a tiny process that waits for our end.
 */
export async function createTemporaryState(): Promise<TemporaryState> {
  const path = await mkdtemp(join(tmpdir(), 'microvm-'));
  const dismissGuard = guard(path);
  const stopWatchingExit = onProcess('exit', () => rmSync(path, { recursive: true, force: true }));
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true });
      stopWatchingExit();
      dismissGuard();
    },
  };
}

// `read` ends when the other end of its pipe is closed, which the kernel does for us whatever ended this process.
const GUARD_SCRIPT = 'read -r _; rm -rf -- "$1"';

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
