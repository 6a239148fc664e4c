import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MIB } from '@microvm/runtime';
import { type Apt, type AptPackage, PackageMissing, withPackageLists } from './apt.js';
import { findKernelPayload, hasPvhEntry } from './bzimage.js';
import { makeEmptyExt4 } from '../disks/ext4.js';
import type { EntryStore, StoreEntry } from '../store/entry-store.js';
import { GUEST_MODULES, resolveModules } from './kernel-modules.js';
import { ProgramFailed, runProgram } from '../host/program.js';
import { type OnImageProgress, reportStep } from '../progress.js';

/** Names of the files in a base. */
export const BASE_FILES = {
  bzImage: 'bzImage',
  /** Absent where the kernel cannot be taken out of its bzImage. */
  vmlinux: 'vmlinux',
  busybox: 'busybox',
  applets: 'busybox.applets',
  dataDisk: 'data.ext4',
  /** A folder: what Debian says of the copyright of the kernel and of busybox. */
  licences: 'licences',
  /** Module files in load order, as paths in the base. */
  moduleOrder: 'modules.order',
} as const;

const KERNEL_PACKAGE = /^linux-image-6\.1\.(\d+)-(\d+)-cloud-amd64$/;
const BUSYBOX_PACKAGE = 'busybox-static';
const LZ4_PACKAGE = 'lz4';
const DATA_DISK_BYTES = 64 * MIB;

export interface BaseImageOptions {
  readonly store: EntryStore;
  readonly apt: Apt;
  /** Empty folder for what is fetched and unpacked; the caller removes it. */
  readonly workDir: string;
  /** Fetch package lists first; otherwise only when those of the host do not do. */
  readonly refresh: boolean;
  readonly onProgress: OnImageProgress;
  readonly signal: AbortSignal | undefined;
}

interface ChosenPackages {
  readonly kernel: AptPackage;
  readonly busybox: AptPackage;
  /**
   * Used only to make the image, which has nothing of it. The library that it needs is always installed,
   * because apt itself needs it.
   */
  readonly lz4: AptPackage;
}

/**
 * Makes the base of the newest packages, or finds it in the store. Rejects with errors of apt and the other
 * programs.
 */
export async function makeBaseImage(options: BaseImageOptions): Promise<StoreEntry> {
  const { apt, store } = options;
  const attempt = async (): Promise<StoreEntry | (() => Promise<StoreEntry>)> => {
    const chosen = await reportStep(options.onProgress, 'find packages', () => choosePackages(apt));
    const key = keyOf(chosen);
    const known = await store.open('base', key);
    if (known !== undefined) return known;
    const debs = await download(options, Object.values(chosen));
    return () => store.publish('base', key, (folder) => fillBase(options, { chosen, debs, folder }));
  };
  const result = await withPackageLists(apt, options.refresh, attempt);
  return typeof result === 'function' ? result() : result;
}

async function choosePackages(apt: Apt): Promise<ChosenPackages> {
  const kernelName = newestKernel(await apt.packageNames('linux-image-6.1.'));
  if (kernelName === undefined) throw new PackageMissing('no Debian package linux-image-6.1.*-cloud-amd64');
  const [kernel, busybox, lz4] = await apt.candidates([kernelName, BUSYBOX_PACKAGE, LZ4_PACKAGE]);
  if (kernel === undefined || busybox === undefined || lz4 === undefined) {
    throw new Error('apt answered with too few packages');
  }
  return { kernel, busybox, lz4 };
}

/** The name with the highest version among those of signed 6.1 cloud kernels. */
export function newestKernel(names: readonly string[]): string | undefined {
  const rank = (name: string): number => {
    const [, patch = 0, abi = 0] = KERNEL_PACKAGE.exec(name) ?? [];
    return Number(patch) * 1_000_000 + Number(abi);
  };
  const kernels = names.filter((name) => KERNEL_PACKAGE.test(name));
  return kernels.toSorted((a, b) => rank(a) - rank(b)).at(-1);
}

function keyOf({ kernel, busybox }: ChosenPackages): string {
  const text = [kernel, busybox].map(({ name, version }) => `${name}_${version}`).join('+');
  return text.replaceAll(/[^A-Za-z0-9._+~-]/g, '_');
}

async function download(options: BaseImageOptions, packages: readonly AptPackage[]): Promise<string[]> {
  const total = packages.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let last = -1;
  const report = (percent: number): void => {
    const done = Math.round((total * percent) / 100);
    if (done === last) return;
    last = done;
    options.onProgress({ step: 'download', done, total, unit: 'bytes' });
  };
  const into = join(options.workDir, 'debs');
  await rm(into, { recursive: true, force: true });
  await mkdir(into);
  report(0);
  const debs = await options.apt.download(packages, into, report);
  report(100);
  return debs;
}

interface Filling {
  readonly chosen: ChosenPackages;
  readonly debs: readonly string[];
  readonly folder: string;
}

async function fillBase(options: BaseImageOptions, filling: Filling): Promise<Record<string, string>> {
  const { onProgress, signal } = options;
  const { chosen, folder } = filling;
  const unpacked = await unpack(options, filling.debs);
  const release = chosen.kernel.name.replace('linux-image-', '');
  await reportStep(onProgress, 'kernel', () =>
    extractKernel(join(unpacked, 'boot', `vmlinuz-${release}`), {
      folder,
      lz4: join(unpacked, 'usr', 'bin', 'lz4'),
      signal,
    }),
  );
  await takeModules(options, join(unpacked, 'lib', 'modules', release), folder);
  await takeBusybox(join(unpacked, 'bin', 'busybox'), folder, signal);
  await takeLicences(unpacked, [chosen.kernel, chosen.busybox], folder);
  await makeDataDisk(folder, options);
  return {
    kernelRelease: release,
    kernelPackage: `${chosen.kernel.name}=${chosen.kernel.version}`,
    busyboxPackage: `${chosen.busybox.name}=${chosen.busybox.version}`,
  };
}

async function unpack(options: BaseImageOptions, debs: readonly string[]): Promise<string> {
  const { onProgress, signal } = options;
  const folder = join(options.workDir, 'unpacked');
  for (const [index, deb] of debs.entries()) {
    onProgress({ step: 'unpack', done: index, total: debs.length, unit: 'files' });
    await runProgram('dpkg-deb', ['-x', deb, folder], { signal });
  }
  onProgress({ step: 'unpack', done: debs.length, total: debs.length, unit: 'files' });
  return folder;
}

/** Keeps the bzImage and, for QEMU, which starts it quicker, the ELF file inside. */
async function extractKernel(
  source: string,
  { folder, lz4, signal }: { folder: string; lz4: string; signal: AbortSignal | undefined },
): Promise<void> {
  await copyFile(source, join(folder, BASE_FILES.bzImage));
  const payload = findKernelPayload(await readFile(source));
  if (payload?.compression !== 'lz4') return;
  try {
    const elf = await runProgram(lz4, ['-d', '-c', '-q'], { input: payload.data, signal });
    if (elf.length !== payload.unpackedBytes || !hasPvhEntry(elf)) return;
    await writeFile(join(folder, BASE_FILES.vmlinux), elf);
  } catch (error) {
    // The bzImage boots as well, a little slower.
    if (!(error instanceof ProgramFailed)) throw error;
  }
}

/** The empty disk that VMs get copies of. */
export function makeDataDisk(
  folder: string,
  { onProgress, signal }: Pick<BaseImageOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const options = { sizeBytes: DATA_DISK_BYTES, isTemplate: true, signal };
  return reportStep(onProgress, 'disk', () => makeEmptyExt4(join(folder, BASE_FILES.dataDisk), options));
}

async function takeLicences(
  unpacked: string,
  packages: readonly AptPackage[],
  folder: string,
): Promise<void> {
  await mkdir(join(folder, BASE_FILES.licences));
  for (const { name } of packages) {
    const source = join(unpacked, 'usr', 'share', 'doc', name, 'copyright');
    await copyFile(source, join(folder, BASE_FILES.licences, name));
  }
}

async function takeModules(options: BaseImageOptions, root: string, folder: string): Promise<void> {
  const modules = await resolveModules(root, GUEST_MODULES);
  await mkdir(join(folder, 'modules'));
  const order: string[] = [];
  for (const { path } of modules) {
    options.onProgress({ step: 'modules', done: order.length, total: modules.length, unit: 'files' });
    options.signal?.throwIfAborted();
    const name = `modules/${basename(path)}`;
    await copyFile(path, join(folder, name));
    order.push(name);
  }
  options.onProgress({ step: 'modules', done: order.length, total: modules.length, unit: 'files' });
  await writeFile(join(folder, BASE_FILES.moduleOrder), order.map((name) => `${name}\n`).join(''));
}

async function takeBusybox(source: string, folder: string, signal?: AbortSignal): Promise<void> {
  await copyFile(source, join(folder, BASE_FILES.busybox));
  // The executable is static and came from a signed package; it runs on any Linux of its architecture.
  const applets = await runProgram(source, ['--list-full'], { signal });
  await writeFile(join(folder, BASE_FILES.applets), applets);
}
