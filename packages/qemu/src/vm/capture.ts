import { chmod, open } from 'node:fs/promises';
import { join } from 'node:path';
import { copyBounded, folderOf } from '@microvm/driver-kit';
import type { Captured, CaptureTarget, Run } from '@microvm/runtime';
import { memoryFileOf } from '../host/memory-file.js';
import { describeMachine, type MemoryForm } from './compatibility.js';
import type { QemuContext } from './context.js';
import type { LiveVm } from './live-vm.js';
import { prepareMigration, runMigration } from './migration.js';
import type { QemuVm } from './qemu-vm.js';
import { memoryFiles, memoryParts, memorySize } from './snapshot-parts.js';

const FD_NAME = 'snapshot';

/** Writes a snapshot's files but the disks. With memory the VM is paused, and stays so. */
export async function captureVm(
  context: QemuContext,
  vm: QemuVm,
  target: CaptureTarget,
  run: Run,
): Promise<Omit<Captured, 'diskCopy'>> {
  const { hostFacts } = context;
  if (!target.memory) return { parts: [], vmmVersion: hostFacts.qemuVersion, compatibility: {} };
  const { form, version } = await captureMemory(context, vm, folderOf(target), run);
  return {
    parts: memoryParts(form),
    vmmVersion: version,
    compatibility: describeMachine(hostFacts, vm.spec, form),
  };
}

async function captureMemory(
  context: QemuContext,
  vm: QemuVm,
  directory: string,
  run: Run,
): Promise<{ readonly form: MemoryForm; readonly version: string }> {
  const live = context.table.liveOf(vm);
  const memoryFile = await memoryFileOf(live.identity.pid);
  const form = memoryFile === undefined ? 'stream' : 'apart';
  const files = memoryFiles(form);
  await leavePostmigrate(live, run.signal);
  await prepareMigration(live, form === 'apart', run.signal);
  await writeState(live, join(directory, files.state), run.signal);
  await run.step('capture:state');
  if (memoryFile !== undefined && files.memory !== undefined) {
    const path = join(directory, files.memory);
    const size = { expectedSizeBytes: memorySize(vm.spec) };
    await copyBounded(memoryFile, path, { vmId: vm.vmId, file: 'memory', size, step: 'memory' }, run);
    // A memfd's mode is 0777.
    await chmod(path, 0o600);
    await run.step('capture:memory');
  }
  return { form, version: await live.version(run.signal) };
}

/**
 * After a capture QEMU refuses another one until the CPUs have run. They run for the moment between two
 * commands; the workload is frozen, and the first snapshot is not touched by it.
 */
async function leavePostmigrate(live: LiveVm, signal: AbortSignal): Promise<void> {
  if ((await live.status({ signal })) !== 'postmigrate') return;
  await live.command('cont', {}, { signal });
  await live.command('stop');
}

async function writeState(live: LiveVm, path: string, signal: AbortSignal): Promise<void> {
  const file = await open(path, 'wx+', 0o600);
  try {
    await live.command('getfd', { fdname: FD_NAME }, { signal, fds: [file.fd] });
    const start = (): Promise<unknown> => live.command('migrate', { uri: `fd:${FD_NAME}` }, { signal });
    await runMigration(live, path, start, signal);
  } finally {
    await file.close();
  }
}
