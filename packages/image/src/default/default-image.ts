import { rm } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { agentBinaryPath } from '@microvm/guest';
import { abortSignalSchema, resolveOptions, type Setting } from '@microvm/runtime';
import { z } from 'zod';
import { Apt } from './apt.js';
import { BASE_FILES, makeBaseImage } from './base-image.js';
import { type HostFacts, readHostFacts, requireDebian } from './host-check.js';
import { toContractError } from '../host/host-errors.js';
import { EntryStore, type StoreEntry } from '../store/entry-store.js';
import { INITRD_FILE, makeInitrd } from './initrd-image.js';
import {
  FROM_PACKAGE,
  packagedFolder,
  readPackagedBase,
  takePackagedBase,
  writePackagedBase,
  type PackagedBase,
} from './packaged-base.js';
import type { OnImageProgress } from '../progress.js';
import { xdgFolder } from '../host/xdg-folder.js';

/** The format of the store's entries; another number makes everything anew. */
const FORMAT = 4;

/**
 * Kernel arguments for a guest with a serial console. A panic or reboot ends the VMM (`panic=-1 reboot=t`);
 * the self-tests of the cryptographic code and the wait for entropy were what costs boot time measurably.
 */
export const DEFAULT_BOOT_ARGS =
  'console=ttyS0 quiet reboot=t panic=-1 cryptomgr.notests random.trust_cpu=on';

/** A guest that boots: Debian's kernel, an initrd with busybox and the agent, and an empty disk to copy. */
export interface DefaultImage {
  /** The kernel that QEMU boots: the ELF kernel, or the bzImage where it could not be unpacked. */
  readonly kernelPath: string;
  readonly bzImagePath: string;
  readonly initrdPath: string;
  /** An empty ext4 file system, sparse; copy it with `createDisk`, never attach it itself. */
  readonly dataDiskPath: string;
  /** `uname -r` of the guest. */
  readonly kernelRelease: string;
  /** SHA-256 in hex; `kernel` is that of `kernelPath`. */
  readonly digests: { readonly kernel: string; readonly initrd: string; readonly dataDisk: string };
  readonly bootArgs: string;
}

export interface DefaultImageOptions {
  /** Default: `$MICROVM_CACHE_DIR`, else `$XDG_CACHE_HOME/microvm`, else `~/.cache/microvm`. */
  readonly cacheDir?: string | undefined;
  /** Look for newer packages even though the image is cached; default false. */
  readonly refresh?: boolean | undefined;
  /**
   * Called as the work goes on, not at all when everything is cached. A throw ends the work and is passed on.
   */
  readonly onProgress?: OnImageProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Settings of the default image. */
export const IMAGE_SETTINGS: readonly Setting[] = [
  {
    option: 'cacheDir',
    env: 'MICROVM_CACHE_DIR',
    type: 'path',
    default: '$XDG_CACHE_HOME/microvm, else ~/.cache/microvm',
    meaning:
      'Folder of the default image and of what it is made from; absolute. It may be removed when no VM uses it.',
  },
];

const optionsSchema = z.strictObject({
  cacheDir: z.string().refine(isAbsolute, 'an absolute path').optional(),
  refresh: z.boolean().optional(),
  onProgress: z.custom<OnImageProgress>((value) => typeof value === 'function', 'a function').optional(),
  signal: abortSignalSchema.optional(),
});

/**
 * The default image: made on the first call, without root and without installing anything, of the files of
 * `@microvm/default-image`, or, where that npm package is not installed, of Debian packages that apt fetches
 * and checks; from then on it is in the cache. A new agent gives a new initrd of the same packages. What apt
 * has fetched stays until `refresh`, which always asks apt. Several processes may call it at once. An abort
 * rejects with the signal's reason and leaves nothing half made.
 *
 * @throws MICROVM_HOST_UNSUPPORTED where the host lacks a program, or where apt is needed and the host is not
 * Debian on x86-64; MICROVM_NO_SPACE, MICROVM_INVALID_ARGUMENT, MICROVM_HOST_FAILURE (apt's sources out of
 * reach, cache not writable)
 */
export async function ensureDefaultImage(options: DefaultImageOptions = {}): Promise<DefaultImage> {
  const { cacheDir, refresh, onProgress, signal } = resolveOptions(optionsSchema, IMAGE_SETTINGS, options);
  return makeDefaultImage({
    cacheDir: cacheDir ?? xdgFolder('cache', process.env),
    agentPath: agentBinaryPath(),
    hostFacts: await readHostFacts(),
    packageFolder: packagedFolder(),
    refresh,
    onProgress,
    signal,
  });
}

/** What `ensureDefaultImage` takes from its surroundings, as arguments. */
export interface ImageInputs extends DefaultImageOptions {
  readonly cacheDir: string;
  readonly agentPath: string;
  readonly hostFacts: HostFacts;
  /** Where the files of `@microvm/default-image` may be. */
  readonly packageFolder?: string | undefined;
  /** Added to apt's environment. */
  readonly aptEnv?: Readonly<Record<string, string>>;
}

function rootIn(cacheDir: string): string {
  return join(resolve(cacheDir), `image-v${FORMAT}`);
}

export async function makeDefaultImage(inputs: ImageInputs): Promise<DefaultImage> {
  const { signal } = inputs;
  const root = rootIn(inputs.cacheDir);
  try {
    signal?.throwIfAborted();
    const store = new EntryStore(root, signal);
    const base = await baseOf(store, inputs);
    const initrd = await makeInitrd({ store, base, ...inputs });
    return describeImage(base, initrd);
  } catch (error) {
    throw await toContractError(error, {
      operation: 'make the default image',
      path: join(root, 'x'),
      signal,
    });
  }
}

/**
 * Fills a folder with the files of `@microvm/default-image`: those of the default image of this host's cache,
 * which is made by apt where it is not there. Errors: those of `ensureDefaultImage`.
 */
export async function packDefaultImage(
  folder: string,
  given: Partial<ImageInputs> = {},
): Promise<PackagedBase> {
  const { cacheDir = xdgFolder('cache', process.env), signal } = given;
  const store = new EntryStore(rootIn(cacheDir), signal);
  const inputs = { hostFacts: await readHostFacts(), ...given };
  try {
    return await writePackagedBase(folder, await baseOf(store, inputs), FORMAT);
  } catch (error) {
    throw await toContractError(error, { operation: 'pack the default image', path: folder, signal });
  }
}

type BaseInputs = Omit<ImageInputs, 'cacheDir' | 'agentPath'>;

async function baseOf(store: EntryStore, inputs: BaseInputs): Promise<StoreEntry> {
  const known = inputs.refresh === true ? undefined : await presentBase(store, inputs);
  return known ?? newBase(store, inputs);
}

/**
 * The base that was selected last, unless an npm package brings another one than it brought then; at first
 * that of the package. Undefined: it is to be fetched by apt.
 */
async function presentBase(store: EntryStore, inputs: BaseInputs): Promise<StoreEntry | undefined> {
  const { packageFolder, signal, onProgress = () => {} } = inputs;
  const packaged = packageFolder === undefined ? undefined : await readPackagedBase(packageFolder, FORMAT);
  const key = await store.selected('base');
  const selected = key === undefined ? undefined : await store.open('base', key);
  const isOfPackage = selected?.facts['source'] === FROM_PACKAGE.source;
  if (packaged === undefined || (selected !== undefined && !(isOfPackage && selected.key !== packaged.key)))
    return selected;
  const base = await takePackagedBase({ store, onProgress, signal }, packaged);
  await store.select('base', base.key);
  return base;
}

async function newBase(store: EntryStore, inputs: BaseInputs): Promise<StoreEntry> {
  requireDebian(inputs.hostFacts);
  const { refresh = false, signal, aptEnv, onProgress = () => {} } = inputs;
  const workDir = await store.makeFolder();
  try {
    const apt = new Apt({ workDir, signal, env: aptEnv });
    const base = await makeBaseImage({ store, apt, workDir, refresh, onProgress, signal });
    await store.select('base', base.key);
    return base;
  } finally {
    await rm(workDir, { recursive: true, force: true }).catch(() => undefined);
  }
}

function describeImage(base: StoreEntry, initrd: StoreEntry): DefaultImage {
  const kernel = base.files.includes(BASE_FILES.vmlinux) ? BASE_FILES.vmlinux : BASE_FILES.bzImage;
  return {
    kernelPath: base.path(kernel),
    bzImagePath: base.path(BASE_FILES.bzImage),
    initrdPath: initrd.path(INITRD_FILE),
    dataDiskPath: base.path(BASE_FILES.dataDisk),
    kernelRelease: base.facts['kernelRelease'] ?? '',
    digests: {
      kernel: base.digest(kernel),
      initrd: initrd.digest(INITRD_FILE),
      dataDisk: base.digest(BASE_FILES.dataDisk),
    },
    bootArgs: DEFAULT_BOOT_ARGS,
  };
}
