import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB, isLive, type VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { inspectProvider, registerUnusable } from './describe-provider.js';
import { viewOf } from './expectations.js';
import type { ProviderFactory } from './factory.js';
import { filesOfVms, processesUsing } from './footprint.js';
import { destroyAll } from './shared-runtime.js';

/** A file system of its own, in memory, that can be filled to the last block. */
class SmallDisk implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async mount(sizeMib: number): Promise<SmallDisk> {
    const folder = await mkdtemp(join(tmpdir(), 'microvm-full-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m`, 'tmpfs', folder]);
    return new SmallDisk(folder);
  }

  get stateDir(): string {
    return join(this.folder, 'state');
  }

  /** Leaves `freeBytes`, rounded down to blocks. */
  async fill(freeBytes = 0): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder);
    const blocks = bavail - Math.floor(freeBytes / bsize);
    const file = await open(join(this.folder, 'filler'), 'a');
    try {
      const chunk = Buffer.alloc(MIB, 'x');
      for (let left = blocks * bsize; left > 0; left -= chunk.length)
        await file.write(chunk, 0, Math.min(left, chunk.length));
    } finally {
      await file.close();
    }
  }

  async makeRoom(): Promise<void> {
    await rm(join(this.folder, 'filler'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    execFileSync('umount', [this.folder]);
    await rm(this.folder, { recursive: true });
  }
}

/**
 * Registers what a provider does when the file system of its state directory is full: a typed error, nothing
 * changed, nothing left, and what makes room works. Needs root, for a file system of its own.
 */
export function describeFullDisk(name: string, factory: ProviderFactory): void {
  const isRoot = process.geteuid?.() === 0;
  const title = isRoot ? `${name}, on a full disk` : `${name}, on a full disk (not run: mounting needs root)`;
  const timeout = 60_000 * (factory.deadlineFactor ?? 1);
  describe.skipIf(!isRoot)(title, { timeout }, async () => {
    const facts = await inspectProvider(factory);
    if (!facts.isUsable) {
      registerUnusable(name, facts.reasons);
      return;
    }
    test('no VM is made where there is no room for its record', () => onDisk(factory, makesNoVm(0)));
    test('no VM is made where there is no room for its disks', () => onDisk(factory, makesNoVm(64 * 1024)));
    test('no snapshot is taken, and the guest goes on', () => onDisk(factory, takesNoSnapshot));
    test('a VM can be paused, resumed, stopped, destroyed and forgotten', () => onDisk(factory, letsGo));
  });
}

interface FullDiskFixture {
  readonly disk: SmallDisk;
  readonly runtime: VmRuntime;
  readonly factory: ProviderFactory;
}

async function onDisk(
  factory: ProviderFactory,
  act: (fixture: FullDiskFixture) => Promise<void>,
): Promise<void> {
  await using disk = await SmallDisk.mount(1024);
  await mkdir(disk.stateDir);
  const runtime = await factory.open({ stateDir: disk.stateDir });
  try {
    await act({ disk, runtime, factory });
  } finally {
    await destroyAll(runtime);
    await runtime.close();
  }
  expect(await processesUsing(disk.stateDir)).toEqual([]);
}

const makesNoVm =
  (freeBytes: number) =>
  async ({ disk, runtime, factory }: FullDiskFixture): Promise<void> => {
    const path = join(disk.folder, 'image');
    await writeFile(path, Buffer.alloc(MIB, 'x'));
    const spec = { ...factory.spec, drives: [{ driveId: 'data', path }] };
    const files = await filesOfVms(disk.stateDir);
    await disk.fill(freeBytes);
    await expect(runtime.createVmWithSpec('late', spec)).rejects.toMatchObject({ code: 'MICROVM_NO_SPACE' });
    expect(await runtime.getVm('late')).toBeUndefined();
    expect(await filesOfVms(disk.stateDir)).toEqual(files);
    await disk.makeRoom();
    expect(await runtime.createVmWithSpec('late', spec)).toMatchObject({ state: 'created' });
  };

async function takesNoSnapshot({ disk, runtime, factory }: FullDiskFixture): Promise<void> {
  await runtime.createVmWithSpec('full', { ...factory.spec });
  await runtime.startVm('full');
  const files = await filesOfVms(disk.stateDir);
  await disk.fill(MIB);
  await expect(runtime.snapshotVm('full', 'late')).rejects.toMatchObject({ code: 'MICROVM_NO_SPACE' });
  expect(await viewOf(runtime, 'full')).toMatchObject({ state: 'running', snapshots: [] });
  expect(await filesOfVms(disk.stateDir)).toEqual(files);
  await disk.makeRoom();
  await runtime.snapshotVm('full', 'late');
  expect(await viewOf(runtime, 'full')).toMatchObject({ state: 'running' });
}

/** Records are small, and room is kept for them: who wants to make room must be able to. */
async function letsGo({ disk, runtime, factory }: FullDiskFixture): Promise<void> {
  await runtime.createVmWithSpec('full', { ...factory.spec });
  await runtime.startVm('full');
  await disk.fill();
  expect(await runtime.pauseVm('full')).toMatchObject({ state: 'paused' });
  expect(await runtime.resumeVm('full')).toMatchObject({ state: 'running' });
  const stopped = await runtime.stopVm('full');
  expect(isLive(stopped.state)).toBe(false);
  expect(await runtime.destroyVm('full')).toMatchObject({ state: 'destroyed' });
  await runtime.forgetVm('full');
  expect(await runtime.getVm('full')).toBeUndefined();
}
