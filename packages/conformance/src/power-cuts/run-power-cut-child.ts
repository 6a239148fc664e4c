import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { VmSpec } from '@microvm/runtime';
import { problemOf, runUntilStep, type ChildProvider } from '../crashes/run-crash-child.js';
import { look } from './look.js';
import { prepare } from './prepare.js';
import {
  ANSWERED,
  DRIVE_ID,
  PLACE,
  type ActTask,
  type Answer,
  type MountTask,
  type PowerCutTask,
} from './tasks.js';

/**
 * The whole of a child module: takes one task from the suite of power cuts, mounts the disk of the host that
 * it runs on, and does the task. Needs no vitest.
 */
export function runPowerCutChild(factory: ChildProvider): void {
  // Without the suite there is nobody who would end this host.
  process.once('disconnect', () => process.exit(1));
  process.once('message', (task: PowerCutTask) => {
    void run(factory, task).then(
      (answer) => process.send?.(answer, () => process.exit(0)),
      (error: unknown) =>
        process.send?.({ problem: problemOf(error) } satisfies Answer, () => process.exit(1)),
    );
  });
}

async function run(factory: ChildProvider, task: PowerCutTask): Promise<Answer> {
  mount(task.mount);
  const stateDir = join(task.mount.folder, 'state');
  const provider = { ...factory, spec: specWith(factory.spec, task.drive.path) };
  switch (task.kind) {
    case 'prepare':
      mkdirSync(stateDir);
      return { prepared: await prepare(provider, stateDir, task) };
    case 'act':
      return act(provider, stateDir, task);
    case 'look':
      await look(provider, stateDir, task);
      return {};
  }
}

function specWith(spec: VmSpec = {}, path: string): VmSpec {
  return { ...spec, drives: [...(spec.drives ?? []), { driveId: DRIVE_ID, path }] };
}

function mount({ device, options, folder }: MountTask): void {
  execFileSync('mount', [...options, device, folder], { stdio: ['ignore', 'ignore', 'pipe'] });
}

async function act(provider: ChildProvider, stateDir: string, task: ActTask): Promise<never> {
  const die = (): void => loseThePower(task.mount);
  if (task.step !== ANSWERED) return runUntilStep(provider, { ...task, stateDir }, die);
  const answered = { ...task, stateDir };
  return runUntilStep(provider, answered, die, () => delay(task.pauseMs));
}

/** Stands still while the suite cuts the power of this host's disk, and ends with it. */
function loseThePower({ folder }: MountTask): void {
  writeSync(PLACE, 'here\n');
  const first = heard();
  if (first === 'sync' || first === 'shutdown') {
    const [program, ...args] = BEFORE_THE_CUT[first];
    // The power may go meanwhile, and the program fail: that is what it is for.
    const { error } = spawnSync(program, [...args, folder], { stdio: 'ignore' });
    writeSync(PLACE, `${error === undefined ? 'done' : error.message}\n`);
    heard();
  }
  process.kill(process.pid, 'SIGKILL');
}

const BEFORE_THE_CUT = {
  // What the kernel would write back sooner or later is on its way when the power goes.
  sync: ['sync', '-f'],
  shutdown: ['xfs_io', '-x', '-c', 'shutdown'],
} as const;

/** The next line of the suite; empty when there is no suite any more. */
function heard(): string {
  const buffer = Buffer.alloc(64);
  return buffer.toString('latin1', 0, readSync(PLACE, buffer)).trim();
}
