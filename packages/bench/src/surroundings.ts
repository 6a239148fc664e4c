import { execFile } from 'node:child_process';
import { arch, cpus, release, totalmem, version } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MIB } from '@microvm/runtime';

/** What the figures depend on: they mean nothing without it. */
export interface Surroundings {
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryMib: number;
    readonly arch: string;
  };
  readonly kernel: string;
  readonly node: string;
  /** Null where there is none. */
  readonly qemu: string | null;
  /** Null outside a git checkout; `+` at the end: with changes that are not committed. */
  readonly commit: string | null;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
}

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));

async function firstLine(program: string, args: readonly string[]): Promise<string | null> {
  try {
    const { stdout } = await run(program, [...args], { cwd: here });
    return stdout.split('\n')[0] ?? null;
  } catch {
    return null; // Not installed, or not a checkout: the report says null.
  }
}

async function commit(): Promise<string | null> {
  const hash = await firstLine('git', ['rev-parse', '--short=12', 'HEAD']);
  if (hash === null) return null;
  const change = await firstLine('git', ['status', '--porcelain', '--untracked-files=no']);
  return change === '' ? hash : `${hash}+`;
}

export async function describeSurroundings(): Promise<Surroundings> {
  const processors = cpus();
  return {
    machine: {
      cpu: processors[0]?.model ?? 'unknown',
      cores: processors.length,
      memoryMib: Math.round(totalmem() / MIB),
      arch: arch(),
    },
    kernel: `${release()} ${version()}`,
    node: process.version,
    qemu: await firstLine('qemu-system-x86_64', ['--version']),
    commit: await commit(),
    startedAt: new Date().toISOString(),
  };
}
