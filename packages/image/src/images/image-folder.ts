import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, realpath, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { imageConfigSchema, invalidArgument, syncPath, type ImageConfig } from '@microvm/runtime';
import { ignoreAbsent } from '../host/system-error.js';
import { EntryStore, type StoreEntry } from '../store/entry-store.js';
import { BlobStore } from './blob-store.js';
import { ImageHolds } from './holds.js';
import { ImageNames } from './names.js';
import { underLock, untilThere } from './store-lock.js';
import { ROOTFS_FILE, TEMPLATE_VERSION } from './template.js';
import { ImageUsers } from './users.js';
import { type WorkFolder, WorkFolders } from './work-folders.js';

/** What a template says of its image, beside the root file system. */
export const IMAGE_FILE = 'image.json';
const FOLDERS = ['blobs/sha256', 'names', 'holds', 'state-dirs', 'work', 'entries', 'template'];
// What may lie in the folder before the store is made: what a killed process began, and what mkfs makes.
const KNOWN_NAMES = [...FOLDERS.map((folder) => folder.replace(/\/.*/, '')), 'lock', 'lost+found'];

/** A root file system that is ready for VMs. */
export interface Template {
  readonly rootfsPath: string;
  readonly rootfsBytes: number;
  readonly config: ImageConfig;
}

/**
 * The folder of a user's images and what is in it. Everything that others could see half done is done under
 * the folder's lock; whatever takes long is done without the lock, in a work folder or under a hold.
 */
export class ImageFolder {
  readonly root: string;
  readonly blobs: BlobStore;
  readonly names: ImageNames;
  readonly holds: ImageHolds;
  readonly users: ImageUsers;
  readonly work: WorkFolders;
  #opened: Promise<void> | undefined;

  constructor(root: string) {
    this.root = root;
    this.blobs = new BlobStore(join(root, 'blobs', 'sha256'));
    this.names = new ImageNames(join(root, 'names'));
    this.holds = new ImageHolds(join(root, 'holds'));
    this.users = new ImageUsers(join(root, 'state-dirs'));
    this.work = new WorkFolders(join(root, 'work'), (work) => this.underLock(work));
  }

  /** Makes the folder on the first call, and removes what killed processes left half made. */
  async open(): Promise<void> {
    this.#opened ??= this.#open();
    try {
      await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  underLock<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return underLock(this.root, work, signal);
  }

  entries(signal?: AbortSignal): EntryStore {
    return new EntryStore(this.root, signal);
  }

  /** A work folder of this call alone. */
  async newWork(): Promise<WorkFolder> {
    const folder = await this.work.claim(randomBytes(8).toString('hex'));
    if (folder === undefined) throw new Error('a new work folder is taken');
    return folder;
  }

  /** The work folder of an image, when no other call works on that image any more. */
  workOn(digest: string, signal?: AbortSignal): Promise<WorkFolder> {
    return untilThere(() => this.work.claim(`image-${digest}`), signal);
  }

  /** The intact template of an image; undefined when there is none of this version. */
  async template(digest: string, signal?: AbortSignal): Promise<Template | undefined> {
    const entry = await this.entries(signal).open('template', templateKey(digest));
    return entry === undefined ? undefined : describeTemplate(entry);
  }

  /** Whether there is a template of this version, intact or not. */
  async hasTemplate(digest: string): Promise<boolean> {
    return (await this.entries().keys('template')).includes(templateKey(digest));
  }

  /** Under the store's lock: removes what nobody is at work on any more. Answers what was removed. */
  async sweepHalfMade(): Promise<string[]> {
    const work = await this.work.sweep();
    return [...work, ...(await this.entries().removeUnlinked(0))];
  }

  async #open(): Promise<void> {
    const found = FOLDERS.map((folder) => stat(join(this.root, folder)).catch(ignoreAbsent));
    if ((await Promise.all(found)).includes(undefined)) await this.#make();
    await this.underLock(() => this.sweepHalfMade());
  }

  async #make(): Promise<void> {
    const made = await mkdir(this.root, { recursive: true, mode: 0o700 });
    await this.#requireNoStranger();
    for (const folder of FOLDERS) await mkdir(join(this.root, folder), { recursive: true });
    await syncPath(join(this.root, 'blobs'));
    await syncPath(this.root);
    if (made !== undefined) await syncPath(dirname(made));
  }

  /** A store sweeps its folders `work` and `entries`: in a folder of other things these may be somebody's. */
  async #requireNoStranger(): Promise<void> {
    const stranger = (await readdir(this.root)).find((name) => !KNOWN_NAMES.includes(name));
    if (stranger === undefined) return;
    const expected = `a store of images, or an empty folder, not "${this.root}", which has "${stranger}"`;
    throw invalidArgument('imageStore', expected);
  }
}

export function templateKey(digest: string, version = TEMPLATE_VERSION): string {
  return `${digest}-v${version}`;
}

/** @returns undefined for a key that no version of ours has made */
export function parseTemplateKey(key: string): { digest: string; version: number } | undefined {
  const [, digest = '', version = ''] = /^([0-9a-f]{64})-v(\d+)$/.exec(key) ?? [];
  return digest === '' ? undefined : { digest, version: Number(version) };
}

async function describeTemplate(entry: StoreEntry): Promise<Template | undefined> {
  const parsed = imageConfigSchema.safeParse(JSON.parse(await readFile(entry.path(IMAGE_FILE), 'utf8')));
  if (!parsed.success) return undefined;
  const rootfsPath = await realpath(entry.path(ROOTFS_FILE));
  const now = new Date();
  // When a template was used last decides which ones stay when room is wanted; nothing depends on it.
  await utimes(dirname(rootfsPath), now, now).catch(() => undefined);
  return {
    rootfsPath,
    rootfsBytes: (await stat(rootfsPath)).size,
    config: parsed.data,
  };
}
