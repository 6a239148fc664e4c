import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { privateDrives } from '@microvm/driver-kit';
import { removeTree, stageJail, type JailPlan, type SharedJailFile } from '@microvm/native';
import { diskName, VM_FILES, VMM_FILES } from './paths.js';
import type { VmPlan } from './vm-plan.js';

export interface StageOptions {
  readonly plan: VmPlan;
  /** The VM's own folder. */
  readonly directory: string;
  readonly vmmFolder: string;
  /** Files of the snapshot that the VMM is to load; else it boots a kernel. */
  readonly snapshot: { readonly state: string; readonly memory: string } | undefined;
  readonly signal: AbortSignal;
}

interface StagedFile {
  readonly name: string;
  readonly from: string;
}

/**
 * Makes the folder that a VMM works in: a chroot of links and copies or, without a jail, of symbolic links.
 */
export async function stageVmm(options: StageOptions): Promise<void> {
  const { plan, vmmFolder, signal } = options;
  const own = ownFiles(options);
  if (plan.uid === null) {
    await linkAll(vmmFolder, [...sharedFiles(options), ...own]);
    return;
  }
  const jail: JailPlan = {
    root: vmmFolder,
    uid: plan.uid,
    gid: plan.uid,
    folders: [{ name: VMM_FILES.disks }],
    shared: sharedFiles(options),
    private: own.map((file) => ({ ...file, by: 'link' })),
  };
  await stageJail(jail, { signal });
}

async function linkAll(folder: string, files: readonly StagedFile[]): Promise<void> {
  await mkdir(join(folder, VMM_FILES.disks), { recursive: true, mode: 0o700 });
  await Promise.all(files.map(({ name, from }) => symlink(from, join(folder, name))));
}

/**
 * Removes the working folder of a VMM, whatever a hostile VMM has made of it. Throws when something cannot be
 * removed.
 */
export async function clearVmmFolder(folder: string): Promise<void> {
  const { left } = await removeTree(folder);
  if (left[0] !== undefined) throw left[0];
}

function ownFiles({ plan, directory }: StageOptions): StagedFile[] {
  return [
    ...privateDrives(plan.drives).map(({ driveId, file }) => ({
      name: diskName(driveId),
      from: join(directory, file),
    })),
    { name: VMM_FILES.log, from: join(directory, VM_FILES.vmmLog) },
    { name: VMM_FILES.metrics, from: join(directory, VM_FILES.metrics) },
  ];
}

/**
 * Files of the content store and of snapshots, which a jail gets as hard links: they belong to root and
 * nobody may write to them.
 */
function sharedFiles({ plan, snapshot }: StageOptions): SharedJailFile[] {
  const { kernelPath, initrdPath, drives } = plan;
  const booted =
    snapshot === undefined
      ? [
          { name: VMM_FILES.kernel, from: kernelPath },
          ...(initrdPath === null ? [] : [{ name: VMM_FILES.initrd, from: initrdPath }]),
        ]
      : [];
  const shared = drives.filter(({ isPrivate }) => !isPrivate);
  const inputs = [
    ...booted,
    ...shared.map(({ driveId, source }) => ({ name: diskName(driveId), from: source })),
  ];
  const loaded =
    snapshot === undefined
      ? []
      : [
          { name: VMM_FILES.loadedState, from: snapshot.state },
          { name: VMM_FILES.loadedMemory, from: snapshot.memory },
        ];
  return [...inputs, ...loaded];
}
