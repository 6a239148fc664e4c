import { chmod, lstat, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { copyBounded, folderOf, type FileSize } from '@microvm/driver-kit';
import { closeDescriptor, openBeneath } from '@microvm/native';
import {
  isVmRuntimeError,
  VmRuntimeError,
  type Captured,
  type CaptureTarget,
  type Run,
  type SnapshotPart,
} from '@microvm/runtime';
import type { SnapshotCreate } from '../api/wire.js';
import { VMM_FILES } from '../host/paths.js';
import { describeCompatibility } from './compatibility.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import type { LiveVm } from './live-vm.js';
import { MAX_STATE_BYTES, memorySize, PARTS } from './snapshot-parts.js';

const PUBLISHED_MODE = 0o444;
// Firecracker answers a dump when the file system has its memory: a minute is for a disk that is busy, and
// each MiB may take what it takes on a disk that writes 5 MiB a second.
const DUMP_BASE_TIMEOUT_MS = 60_000;
const DUMP_TIMEOUT_MS_PER_MIB = 200;
// stat(2): st_blocks counts in this unit, whatever the file system's is.
const STAT_BLOCK_BYTES = 512;

/** Writes a snapshot's files but the disks. With memory the VM is paused, and stays so. */
export async function captureVm(
  context: FirecrackerContext,
  vm: FirecrackerVm,
  target: CaptureTarget,
  run: Run,
): Promise<Omit<Captured, 'diskCopy'>> {
  const parts: SnapshotPart[] = [];
  if (target.memory) {
    await captureMemory(context, vm, folderOf(target), run);
    parts.push({ name: PARTS.state, role: 'vmstate' }, { name: PARTS.memory, role: 'memory' });
    await run.step('capture:memory');
  }
  return {
    parts,
    vmmVersion: context.hostFacts.version.text,
    compatibility: describeCompatibility(context.hostFacts, vm.spec),
  };
}

async function captureMemory(
  { table, hostFacts }: FirecrackerContext,
  vm: FirecrackerVm,
  directory: string,
  run: Run,
): Promise<void> {
  const live = table.liveOf(vm);
  const body: SnapshotCreate = {
    snapshot_type: 'Full',
    snapshot_path: VMM_FILES.savedState,
    mem_file_path: VMM_FILES.savedMemory,
    // The guest stands still during a sync, and the published file is a copy, which is synced as such.
    ...(hostFacts.version.supports('unsynced-dump') ? { sync_snapshot_files: false } : {}),
  };
  try {
    await dump(live, vm, body).catch(async (error: unknown) => {
      throw (await lackOfSpace(live, vm, error)) ?? error;
    });
    // A snapshot ends all connections of the guest's vsock, in the VM that it is taken of too.
    live.agent.drop();
    run.signal.throwIfAborted();
    const state = { name: VMM_FILES.savedState, size: { maxSizeBytes: MAX_STATE_BYTES } };
    await publish(vm, state, join(directory, PARTS.state), run);
    const memory = { name: VMM_FILES.savedMemory, size: { expectedSizeBytes: memorySize(vm.spec) } };
    await publish(vm, memory, join(directory, PARTS.memory), run);
  } finally {
    const written = [VMM_FILES.savedState, VMM_FILES.savedMemory].map((name) => join(live.vmmFolder, name));
    // What cannot be removed, as a folder that a hostile VMM has put there, goes with this life of the VM.
    await Promise.all(written.map((path) => rm(path, { force: true }).catch(() => undefined)));
  }
}

/**
 * Waits for the end of a dump also after an abort, because Firecracker cannot call a dump off and answers
 * nothing until then; but never for ever, because a hostile VMM may not answer at all.
 */
async function dump(live: LiveVm, { spec }: FirecrackerVm, body: SnapshotCreate): Promise<void> {
  const request = { method: 'PUT', path: '/snapshot/create', body } as const;
  await live.request(request, {
    timeoutMs: DUMP_BASE_TIMEOUT_MS + spec.memSizeMib * DUMP_TIMEOUT_MS_PER_MIB,
  });
}

/**
 * Firecracker refuses a dump that it had no room for as it refuses all else: the file system is what tells.
 */
async function lackOfSpace(
  live: LiveVm,
  vm: FirecrackerVm,
  error: unknown,
): Promise<VmRuntimeError | undefined> {
  if (!isVmRuntimeError(error, 'MICROVM_VMM_REJECTED')) return undefined;
  const path = join(live.vmmFolder, VMM_FILES.savedMemory);
  const space = await statfs(live.vmmFolder).catch(() => undefined);
  // A folder that cannot be looked at does not tell, and Firecracker's own error stays.
  if (space === undefined) return undefined;
  const written = await lstat(path).then(
    ({ blocks }) => blocks * STAT_BLOCK_BYTES,
    () => 0,
  );
  const neededBytes = memorySize(vm.spec) - written;
  const availableBytes = space.bavail * space.bsize;
  if (neededBytes <= availableBytes) return undefined;
  return new VmRuntimeError('MICROVM_NO_SPACE', `snapshot "${vm.vmId}": ${error.details.faultMessage}`, {
    details: { path, neededBytes, availableBytes },
    cause: error,
  });
}

/** A file that the VMM wrote into the folder that it works in. */
interface Dumped {
  readonly name: string;
  readonly size: FileSize;
}

/**
 * Copies a file that the VMM wrote out of the VMM's folder, into a folder that only our process can write to.
 * So a hostile VMM that holds its own file open cannot change what was published. By reflink where the file
 * system can.
 */
async function publish(
  { vmId, vmmFolder }: FirecrackerVm,
  { name, size }: Dumped,
  to: string,
  run: Run,
): Promise<void> {
  const fd = await openBeneath(vmmFolder, name, { flags: 'r' });
  try {
    await copyBounded(`/proc/self/fd/${fd}`, to, { vmId, file: name, size, step: 'memory' }, run);
    await chmod(to, PUBLISHED_MODE);
  } finally {
    closeDescriptor(fd);
  }
}
