import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Measurement } from './dimension.js';
import type { Fleet, FleetOptions } from './firecracker-fleet.js';
import type { FirstLifeOptions } from './firecracker-lives.js';

/** What can run in a process of its own; `fresh-main.ts` has the other end. */
export interface FreshTasks {
  readonly 'memory-per-vm': { readonly input: { readonly vms: number }; readonly output: number };
  readonly 'firecracker-fleet': { readonly input: FleetOptions; readonly output: Fleet };
  readonly 'first-life': { readonly input: FirstLifeOptions; readonly output: readonly [string, number][] };
  readonly dimension: {
    readonly input: { readonly name: string; readonly quick: boolean };
    readonly output: readonly Measurement[];
  };
}

/**
 * Runs a task in a new Node with these flags: no code of an earlier measurement is hot, none of its garbage
 * is there.
 */
export async function runFresh<K extends keyof FreshTasks>(
  task: K,
  input: FreshTasks[K]['input'],
  execArgv: readonly string[] = [],
): Promise<FreshTasks[K]['output']> {
  const child = fork(
    fileURLToPath(new URL('./fresh-main.js', import.meta.url)),
    [task, JSON.stringify(input)],
    {
      execArgv: [...execArgv],
      // What it says goes where our own words go; the output is for the result.
      stdio: ['ignore', process.stderr, process.stderr, 'ipc'],
    },
  );
  let output: unknown;
  child.on('message', (message: unknown) => (output = message));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  if (code !== 0 || output === undefined) {
    throw new Error(
      `measure ${task} ${JSON.stringify(input)}: the process ended with ${String(code ?? signal)}`,
    );
  }
  return output as FreshTasks[K]['output'];
}
