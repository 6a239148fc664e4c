import type { ResolvedVmSpec } from '@microvm/runtime';

/** Files of a disk by their absolute path in the guest; each character is a byte. */
export type DiskContent = Readonly<Record<string, string>>;

/** What each disk of a VM holds, by drive id. JSON, so that it can be written as it is. */
export type DiskContents = Readonly<Record<string, DiskContent>>;

/** Content of the images on the host, by path: what a drive made from one holds at first. */
export type Images = Readonly<Record<string, DiskContent>>;

/**
 * Every VM has this disk: the spec's `rootDrive`, else an empty one. No drive id of a spec can be the same.
 */
export const ROOT_DRIVE = '/';

/** A disk as the guest's script sees it. Files are flat: a path is a name, there are no folders to make. */
export interface GuestDisk {
  readonly isReadOnly: boolean;
  read(path: string): Buffer | undefined;
  /** Throws a `DiskError` `EROFS` on a read-only disk. */
  write(path: string, data: string | Uint8Array): void;
  /** True when there was such a file. Throws as `write` does. */
  remove(path: string): boolean;
  list(): readonly string[];
}

/** A disk refused an operation; `errno` is the guest's, such as `EROFS`. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly errno: string;

  constructor(errno: string, message: string) {
    super(message);
    this.errno = errno;
  }
}

/** What the disks of a VM that boots for the first time hold. */
export function initialDisks(spec: ResolvedVmSpec, images: Images): DiskContents {
  const paths: (readonly [id: string, path: string | undefined])[] = [[ROOT_DRIVE, spec.rootDrive?.path]];
  for (const { driveId, path } of spec.drives ?? []) paths.push([driveId, path]);
  return Object.fromEntries(paths.map(([id, path]) => [id, images[path ?? ''] ?? {}]));
}

function isReadOnlyDrive(spec: ResolvedVmSpec, driveId: string): boolean {
  const drive = driveId === ROOT_DRIVE ? spec.rootDrive : spec.drives?.find((one) => one.driveId === driveId);
  return drive?.mode === 'shared' || drive?.readOnly === true;
}

/** The disks of one VM. Contents are never changed in place: what a snapshot took stays as it was. */
export class Disks {
  #contents: DiskContents;
  #version = 0;

  constructor(contents: DiskContents) {
    this.#contents = contents;
  }

  /** All of them, as they are now. */
  get contents(): DiskContents {
    return this.#contents;
  }

  /** Rises with each change. */
  get version(): number {
    return this.#version;
  }

  /** Undefined for an unknown drive. */
  disk(driveId: string, spec: ResolvedVmSpec): GuestDisk | undefined {
    if (!Object.hasOwn(this.#contents, driveId)) return undefined;
    const isReadOnly = isReadOnlyDrive(spec, driveId);
    const content = (): DiskContent => this.#contents[driveId] ?? {};
    const replace = (next: DiskContent): void => {
      if (isReadOnly) throw new DiskError('EROFS', `disk "${driveId}" is read-only`);
      this.#contents = { ...this.#contents, [driveId]: next };
      this.#version += 1;
    };
    return {
      isReadOnly,
      read(path) {
        const text = Object.hasOwn(content(), path) ? content()[path] : undefined;
        return text === undefined ? undefined : Buffer.from(text, 'latin1');
      },
      write(path, data) {
        replace({ ...content(), [path]: Buffer.from(data).toString('latin1') });
      },
      remove(path) {
        if (!Object.hasOwn(content(), path)) return false;
        replace(Object.fromEntries(Object.entries(content()).filter(([name]) => name !== path)));
        return true;
      },
      list: () => Object.keys(content()).sort(),
    };
  }
}
