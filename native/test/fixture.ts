import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder of its own for the running test, removed at its end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'microvm-native-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

export interface RunningNode {
  readonly child: ChildProcess;
  /** Resolves when the output has a line with this text. */
  sees(text: string): Promise<void>;
  readonly finished: Promise<Finished>;
}

const addon = JSON.stringify(new URL('../dist/index.js', import.meta.url).href);

export interface NodeUser {
  /** A program, with arguments, that executes Node. */
  readonly under?: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
  readonly cwd?: string;
}

/** Runs a module, in which `native` is this package, in a Node process that the test does not outlive. */
export function runNode(code: string, args: string[] = [], user: NodeUser = {}): RunningNode {
  const script = `import * as native from ${addon};\n${code}`;
  const nodeArgs = ['--expose-gc', '--input-type=module', '-e', script, '--', ...args];
  const { under = [], ...options } = user;
  const [file, ...rest] = [...under, process.execPath, ...nodeArgs];
  const child = spawn(file ?? '', rest, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  const listeners = new Set<() => void>();
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
    for (const listener of listeners) listener();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const finished = new Promise<Finished>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, output }));
  });
  const sees = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.includes(text)) resolve();
      };
      listeners.add(look);
      look();
      void finished.then(() => reject(new Error(`ended without "${text}": ${output}`)));
    });
  return { child, sees, finished };
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

export function threads(): string[] {
  return readdirSync('/proc/self/task');
}

export function threadName(task: string): string {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
  } catch {
    return 'ended';
  }
}

/** The rejection of a promise; fails when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  const value: unknown = await promise.then(
    (resolved) => new Error(`resolved with ${JSON.stringify(resolved)}`),
    (error: unknown) => error,
  );
  return { ...(value as object), message: (value as Error).message };
}
