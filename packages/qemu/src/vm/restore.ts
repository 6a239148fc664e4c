import assert from 'node:assert';
import { constants } from 'node:fs';
import { access, chmod, open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { folderOf } from '@microvm/driver-kit';
import type { RestoreSource, Run } from '@microvm/runtime';
import type { MemoryBackend } from '../process/command-line.js';
import { INHERITED_FD } from '../process/spawn-vmm.js';
import { readCompatibility, type MemoryForm } from './compatibility.js';
import type { QemuContext } from './context.js';
import { launch } from './launch.js';
import type { LiveVm } from './live-vm.js';
import { prepareMigration, runMigration } from './migration.js';
import type { QemuVm } from './qemu-vm.js';
import { memoryFiles } from './snapshot-parts.js';

/**
 * Gives a VM whose disks are there, for a snapshot with memory, a QEMU that has loaded it and stands still.
 */
export async function restoreVm(
  context: QemuContext,
  vm: QemuVm,
  source: RestoreSource,
  run: Run,
): Promise<LiveVm | undefined> {
  if (!source.memory) return undefined;
  const from = folderOf(source);
  const form = readCompatibility(source.compatibility)?.memoryForm;
  assert(form !== undefined, 'checkSnapshot has read it');
  const files = memoryFiles(form);
  const memory = await memoryBackend(files.memory === undefined ? undefined : join(from, files.memory));
  const state = await open(join(from, files.state), 'r');
  try {
    const live = await launchIncoming(context, vm, { memory, state, run });
    await load(live, form, join(from, files.state), run);
    await run.step('restore:loaded');
    return live;
  } finally {
    await state.close();
  }
}

async function memoryBackend(path: string | undefined): Promise<MemoryBackend> {
  if (path === undefined) return { kind: 'memfd' };
  // QEMU opens for writing a file that it maps privately, although it never writes to the file. The mode is
  // changed only where needed, because whoever has checked the file sees a change.
  const isWritable = await access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!isWritable) await chmod(path, 0o600);
  return { kind: 'snapshot-file', path };
}

interface Incoming {
  readonly memory: MemoryBackend;
  readonly state: FileHandle;
  readonly run: Run;
}

function launchIncoming(context: QemuContext, vm: QemuVm, { memory, state, run }: Incoming): Promise<LiveVm> {
  const start = { kind: 'incoming' } as const;
  return launch(context, vm, { memory, start, inheritedFd: state.fd, step: 'restore:started' }, run);
}

async function load(live: LiveVm, form: MemoryForm, path: string, { signal }: Run): Promise<void> {
  await prepareMigration(live, form === 'apart', signal);
  const start = (): Promise<unknown> =>
    live.command('migrate-incoming', { uri: `fd:${INHERITED_FD}` }, { signal });
  await runMigration(live, path, start, signal);
}
