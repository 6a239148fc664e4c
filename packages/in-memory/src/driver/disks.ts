import { posix } from 'node:path';
import { imageDriveOf, MIB, type ResolvedVmSpec } from '@microvm/runtime';
import { BASE_PATHS, fillBase, markBase } from '../fs/base-tree.js';
import { contentOf, fillTree, type DiskContent } from '../fs/disk-content.js';
import { absolute, FileSystem } from '../fs/file-system.js';
import { FileTree } from '../fs/file-tree.js';
import type { Inode } from '../fs/inode.js';

/** What each disk of a VM holds, by drive id. JSON, so that it can be written as it is. */
export type DiskContents = Readonly<Record<string, DiskContent>>;

/** Content of the files on the host, by path: what a drive made from one holds at first. */
export type HostFiles = Readonly<Record<string, DiskContent>>;

/**
 * Every VM has this disk: the spec's `rootDrive`, else an empty one. No drive id of a spec can be the same.
 */
export const ROOT_DRIVE = '/';

/** A disk as the guest's script sees it: its files, by their absolute path. */
export interface GuestDisk {
  readonly isReadOnly: boolean;
  /** Undefined where no file is. */
  read(path: string): Buffer | undefined;
  /**
   * Makes the folders that are missing. Throws a `DiskError`: `EROFS` on a read-only disk, `ENOSPC` on one
   * that would hold more than `diskLimitBytes`, `EISDIR`, `ENOTDIR`.
   */
  write(path: string, data: string | Uint8Array): void;
  /** True when there was such a file. Throws as `write` does. */
  remove(path: string): boolean;
  /** The files that are not on every guest's root disk. */
  list(): readonly string[];
}

export interface DiskOptions {
  /** What each disk may hold, in bytes. */
  readonly limitBytes: number;
  /** Milliseconds since 1970, of the guest. */
  readonly now: () => number;
}

/** What the disks of a VM that boots for the first time hold. */
export function initialDisks(
  spec: ResolvedVmSpec,
  contentAt: (path: string) => DiskContent | undefined,
): DiskContents {
  const paths: (readonly [id: string, path: string | undefined])[] = [[ROOT_DRIVE, spec.rootDrive?.path]];
  for (const { driveId, path } of spec.drives ?? []) paths.push([driveId, path]);
  return Object.fromEntries(paths.map(([id, path]) => [id, contentAt(path ?? '') ?? {}]));
}

function isReadOnlyDrive(spec: ResolvedVmSpec, driveId: string): boolean {
  const drive = driveId === ROOT_DRIVE ? spec.rootDrive : spec.drives?.find((one) => one.driveId === driveId);
  return drive?.mode === 'shared' || drive?.readOnly === true;
}

/**
 * The disks of one VM. A disk that nobody looks into costs nothing: its tree of files is made on demand. What
 * `contents` has answered is never changed: what a snapshot took stays as it was.
 */
export class Disks {
  readonly #options: DiskOptions;
  readonly #trees = new Map<string, FileTree>();
  #contents: DiskContents;
  /** The paths that lie below what the guest wrote to its root disk. */
  #lowerPaths = BASE_PATHS;
  /** The version that `#contents` shows. */
  #shown = 0;

  constructor(contents: DiskContents, options: DiskOptions) {
    this.#contents = contents;
    this.#options = options;
  }

  /** All of them, as they are now. */
  get contents(): DiskContents {
    const { version } = this;
    if (version !== this.#shown) {
      const trees = [...this.#trees].map(
        ([id, tree]) => [id, contentOf(tree, id === ROOT_DRIVE ? this.#lowerPaths : [])] as const,
      );
      this.#contents = { ...this.#contents, ...Object.fromEntries(trees) };
      this.#shown = version;
    }
    return this.#contents;
  }

  /** Rises with each change. */
  get version(): number {
    let version = 0;
    for (const tree of this.#trees.values()) version += tree.version;
    return version;
  }

  /** The files of a disk, for root; undefined for an unknown drive. */
  files(driveId: string, spec: ResolvedVmSpec): FileSystem | undefined {
    if (!Object.hasOwn(this.#contents, driveId)) return undefined;
    let tree = this.#trees.get(driveId);
    if (tree === undefined) {
      const { limitBytes, now } = this.#options;
      tree = new FileTree(now);
      if (driveId === ROOT_DRIVE) this.#fillLower(tree, spec);
      fillTree(tree, this.#contents[driveId] ?? {});
      tree.seal({
        limitBytes: sizeOf(spec, driveId) ?? limitBytes,
        isReadOnly: isReadOnlyDrive(spec, driveId),
      });
      this.#trees.set(driveId, tree);
    }
    return new FileSystem(tree);
  }

  /** What lies below all that a guest writes to its root disk. */
  #fillLower(tree: FileTree, spec: ResolvedVmSpec): void {
    fillBase(tree);
    const image = imageDriveOf(spec);
    if (image === undefined) return;
    const content = this.#contents[image.driveId] ?? {};
    fillTree(tree, content);
    markBase(tree.root);
    this.#lowerPaths = [...BASE_PATHS, ...withFolders(Object.keys(content))];
  }

  /** Undefined for an unknown drive. */
  disk(driveId: string, spec: ResolvedVmSpec): GuestDisk | undefined {
    const files = this.files(driveId, spec);
    return files === undefined ? undefined : new DiskOfScript(files);
  }
}

/** The size that the spec gives a disk, in bytes. */
function sizeOf(spec: ResolvedVmSpec, driveId: string): number | undefined {
  const drive = driveId === ROOT_DRIVE ? spec.rootDrive : spec.drives?.find((one) => one.driveId === driveId);
  return drive?.sizeMib === undefined ? undefined : drive.sizeMib * MIB;
}

function withFolders(paths: readonly string[]): readonly string[] {
  const all = new Set<string>();
  for (const path of paths) for (let at = path; at.length > 1; at = posix.dirname(at)) all.add(at);
  return [...all];
}

class DiskOfScript implements GuestDisk {
  readonly #files: FileSystem;

  constructor(files: FileSystem) {
    this.#files = files;
  }

  get isReadOnly(): boolean {
    return this.#files.tree.isReadOnly;
  }

  read(path: string): Buffer | undefined {
    const inode = this.#files.find(absolute('/', path));
    return inode?.kind === 'file' ? inode.read(0, inode.size) : undefined;
  }

  write(path: string, data: string | Uint8Array): void {
    const full = absolute('/', path);
    const folder = full.slice(0, full.lastIndexOf('/'));
    this.#files.mkdirAll(folder);
    this.#files.writeFile(full, data);
  }

  remove(path: string): boolean {
    const full = absolute('/', path);
    if (this.#files.find(full)?.kind !== 'file') return false;
    this.#files.unlink(full);
    return true;
  }

  list(): readonly string[] {
    const paths: string[] = [];
    const visit = (folder: string, inode: Inode): void => {
      for (const [name, entry] of inode.entries) {
        if (entry.kind === 'directory') visit(`${folder}/${name}`, entry);
        else if (entry.kind === 'file' && !entry.isBase) paths.push(`${folder}/${name}`);
      }
    };
    visit('', this.#files.tree.root);
    return paths.sort();
  }
}
