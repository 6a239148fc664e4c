import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { processIdentity, watcherPath } from '@microvm/native';

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
  const onExit = () => rmSync(path, { recursive: true, force: true });
  process.once('exit', onExit);
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true });
      process.off('exit', onExit);
      dismissGuard();
    },
  };
}

function guard(path: string): () => void {
  const self = processIdentity(process.pid);
  if (self === undefined) return () => undefined;
  const watcher = spawn(watcherPath(), {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    detached: true,
    cwd: '/',
  });
  // Without the watcher only the folder of a killed process stays; the VMs have their driver's own watcher.
  watcher.on('error', () => undefined);
  const pipe = watcher.stdio[3] as Socket;
  pipe.on('error', () => undefined);
  pipe.write(`add ${String(self.pid)} ${self.startTime} ${path}\n`);
  pipe.unref();
  watcher.unref();
  return () => pipe.end(`del ${String(self.pid)}\n`);
}
