import type { AbortOptions, SystemError } from './index.js';

/*
 * Copies, digests, and folders that a hostile process may write to. Every call works on a thread of its own that lives as
 * long as the call. Aborted, it rejects with the signal's reason.
 */

export interface FileCallOptions {
  /** Aborting rejects with the signal's reason, unless the call is past that. */
  readonly signal?: AbortSignal;
}

export interface CopyProgress {
  /** Bytes of the source dealt with, holes included. */
  readonly copiedBytes: number;
  readonly totalBytes: number;
}

/**
 * The size that a source may have: for a file to which somebody else, such as a VMM, may write. Another size is refused before
 * anything is read or made: `EFBIG` when the file is larger, `EIO` when it is smaller; the error's `detail` has the numbers.
 */
export interface SizeOptions {
  /** Exactly so many bytes. */
  readonly expectedSizeBytes?: number;
  /** At most so many bytes. */
  readonly maxSizeBytes?: number;
}

export interface CopyOptions extends SizeOptions {
  /** Called now and then (about every 50 ms), never after the promise settled. Not called for a reflink. */
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Aborting rejects with the signal's reason and leaves nothing. */
  readonly signal?: AbortSignal;
  /** Also fsync the file and its folder; default false. */
  readonly durable?: boolean;
  /**
   * Also turn blocks of zeros (4 KiB) into holes; default false. Holes of the source are always kept. A reflink stays one: it shares
   * the blocks of the source, whatever is in them. Not for a chain of diff snapshots, in which a hole and zeros differ.
   */
  readonly sparse?: boolean;
}

export interface CopyResult {
  /** The first of these that the file systems could do; `copy`: through this process's memory, by several threads. */
  readonly method: 'reflink' | 'copy_file_range' | 'copy';
  readonly sizeBytes: number;
  /** Bytes that were written; 0 for a reflink. */
  readonly dataBytes: number;
}

/**
 * Copies a regular file: by reflink, else by copy_file_range (where that is more than a loop, or the file is small), else through memory with a few threads; holes are kept, and the last two
 * read and write the data only. The target appears whole or not at all (a file without a name, else `.tmp-…` beside it, until then), and
 * replaces what was there. It is ours and has the permission bits of the source.
 *
 * A file of a hostile folder: open it with {@link openBeneath}, and give `/proc/self/fd/<descriptor>` as `from`.
 *
 * @throws SystemError (as rejection), and nothing is left then: `ENOSPC`; `EIO` when the source became shorter meanwhile; `ENOENT` when
 * it is not there or lost its last name meanwhile…
 */
export function copyFile(from: string, to: string, options?: CopyOptions): Promise<CopyResult>;

/** Where the content of a durable file comes from: exactly one of the three. */
export type DurableSource =
  /** The bytes, or a text in UTF-8; at most 256 MiB. */
  | { readonly data: Uint8Array | string }
  /** A copy of a regular file, made as {@link copyFile} does. */
  | { readonly copy: string }
  /**
   * That regular file itself, which loses its name; on the same file system (`EXDEV`). Nobody may write to it any more. A failure
   * leaves it where it is, perhaps with its new owner and mode.
   */
  | { readonly move: string };

export interface PutDurableOptions extends SizeOptions {
  /** Permission bits. Default: those of the source; 0o600 for data. */
  readonly mode?: number;
  /** Owner and group, set before the file has any content. Default: ours; a moved file keeps its own. */
  readonly uid?: number;
  readonly gid?: number;
  /** For a copy: turn blocks of zeros into holes, as {@link CopyOptions.sparse}. Holes of the source are always kept. */
  readonly sparse?: boolean;
  /** False: reject with `EEXIST` when something is at the target. Default true: the file takes its place. */
  readonly replace?: boolean;
  /** For a copy: called now and then (about every 50 ms), never after the promise settled. */
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Aborting rejects with the signal's reason and leaves nothing, unless the file is about to get its name: that is carried through. */
  readonly signal?: AbortSignal;
}

/**
 * Puts a file into a folder so that it survives a power cut. When the promise resolves, content, owner, mode and name are on the
 * disk. The name appears only when the content is there: a crash at any moment leaves the old state or the whole new file, except
 * `.tmp-<16 hex digits>` where the file system knows no files without a name.
 *
 * The flushes of calls in flight at the same time, of {@link writeDurable} too, are committed together, off the main thread: many at
 * once cost little more than one. Calls on the same target take effect in the order in which their content was ready.
 *
 * The folder must be there; that the folder itself survives is up to whoever made it.
 *
 * @throws SystemError (as rejection): `EEXIST`; `EFBIG` and `EIO` as of {@link SizeOptions}; `ENOSPC`… Nothing is at the target then that
 * was not there before, unless the syscall is `fsync` with the path of the folder: then the file is there, and may be gone after a power cut.
 */
export function putDurable(
  source: DurableSource,
  target: string,
  options?: PutDurableOptions,
): Promise<CopyResult>;

export interface DigestOptions extends SizeOptions {
  /** Bytes in a chunk, 4 KiB to 1 GiB; default 4 MiB. The last chunk may be shorter. */
  readonly chunkBytes?: number;
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface FileDigest {
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  /** SHA-256 over the SHA-256 digests of the chunks (as bytes, one after the other), in hex. */
  readonly root: string;
}

/**
 * Digests a regular file in chunks, with all processors, off the main thread. Holes are not read; they count as zeros. The memory that
 * it takes does not depend on the size of the file.
 *
 * @throws SystemError (as rejection): `EFBIG` for a file larger than the caller allows, 16 TiB without a word of the caller; `EIO`
 * with syscall `read` when the size changed meanwhile.
 */
export function digestFile(path: string, options?: DigestOptions): Promise<FileDigest>;

export interface DiscardResult {
  readonly sizeBytes: number;
  /** The first byte that is still there: at most a block before `sizeBytes - keepBytes`. What is before it reads as zeros. */
  readonly startBytes: number;
}

/**
 * Gives the space before a regular file's last bytes back to the file system (fallocate, FALLOC_FL_PUNCH_HOLE); its size and what
 * is written to it meanwhile stay. So a log is bounded that another process holds open and that cannot be cut.
 *
 * @throws SystemError (as rejection): `EOPNOTSUPP` where the file system has no holes, `ELOOP` for a link…
 */
export function discardFront(path: string, keepBytes: number, options?: AbortOptions): Promise<DiscardResult>;

/** A folder of the jail. */
export interface JailFolder {
  /** Below the root, such as `disks`. The folder it is in must be there, or be listed before it. */
  readonly name: string;
  /** Whether it belongs to the VM; default false: to us (root), so that the VM can rename and remove nothing in it. */
  readonly private?: boolean;
  /** Permission bits; default 0o755, 0o700 for a private one. */
  readonly mode?: number;
}

/**
 * An input that any VM may read and none may write. In the jail it is owned by us (root) and has mode 0o444. A file that is so
 * already (0o444 exactly, so that it is the same for all who have it) is hard-linked, when it lies on the same file system;
 * any other becomes a new file with the same content, by reflink where the file system can, else by a copy. The file at `from`
 * is never changed, neither its owner nor its mode.
 */
export interface SharedJailFile {
  readonly name: string;
  /** A regular file. */
  readonly from: string;
}

/**
 * A file of the VM's own, which has its uid and gid before it has a byte or a name in the jail:
 *
 * - without `from`: empty, of `sizeBytes` (a hole);
 * - `by: 'copy'` (default): a new file with the content of `from`, by reflink where the file system can;
 * - `by: 'link'`: `from` itself, which keeps its name too (a disk that outlives the jail); `by: 'move'`: `from` itself, which
 *   loses that name. Both need a file of exactly that uid and gid (`EPERM`), on the same file system (`EXDEV`).
 */
export interface PrivateJailFile {
  readonly name: string;
  readonly from?: string;
  readonly by?: 'copy' | 'link' | 'move';
  /** Size of an empty file (default 0); of a copy, at least that of `from` (`EFBIG`): the rest is a hole. */
  readonly sizeBytes?: number;
  /** Permission bits of a new file; default 0o600. A linked or moved one keeps its own. */
  readonly mode?: number;
}

/**
 * A jail: plain data that says everything that will be in it. Names are relative to the root, with `/` between components;
 * none may be empty, `.` or `..`, and each name occurs once.
 */
export interface JailPlan {
  /**
   * The chroot, for Firecracker's jailer `<base>/<name of the exec file>/<id>/root`. It and the folder it is in (`<id>`) are made,
   * with mode 0o700, when they are not there; the folder above must be there. What an existing root holds stays. The jailer
   * itself makes `dev/` and `run/`, copies the exec file and gives the root, not its content, to the VM.
   */
  readonly root: string;
  /** Who owns what is private. */
  readonly uid: number;
  readonly gid: number;
  /** Made first, in this order. */
  readonly folders?: readonly JailFolder[];
  readonly shared?: readonly SharedJailFile[];
  readonly private?: readonly PrivateJailFile[];
}

export interface StagedJailFile {
  readonly name: string;
  /** How it came; `copy` is any copy of the bytes. */
  readonly method: 'link' | 'reflink' | 'copy' | 'move' | 'empty';
  readonly sizeBytes: number;
}

export interface StagedJail {
  /** All files, in the order of the plan: the shared ones, then the private ones. */
  readonly files: readonly StagedJailFile[];
}

/**
 * Stages a chroot: all of the plan, or nothing. After a failure or an abort all that was made is gone again, what was moved is
 * back, and what was there is untouched; the error's `detail` names what could not be taken back, if anything. (A process that
 * is killed in the middle leaves a part: {@link removeTree} of the root, and what was to be moved is in one of its two places.)
 *
 * Nothing is followed out of the root: not even a process that owns it and swaps its folders for links can lead a step
 * astray (openat2; before Linux 5.6 the same, folder by folder). Giving files to another uid needs CAP_CHOWN.
 *
 * @throws TypeError for a name that would leave the root; SystemError (as rejection): `EEXIST` with the path that is taken,
 * `ENOENT`, `ENOTDIR`, `ELOOP`, `ENOSPC`…
 */
export function stageJail(plan: JailPlan, options?: FileCallOptions): Promise<StagedJail>;

export interface OpenBeneathOptions extends FileCallOptions {
  /** As of `fs.open`: a string, or a number of `O_*` bits; default `r`. Always close-on-exec. */
  readonly flags?: 'r' | 'r+' | 'w' | 'wx' | 'w+' | 'wx+' | 'a' | 'ax' | 'a+' | 'ax+' | number;
  /** Permission bits of a file that it makes (less the umask); default 0o600. */
  readonly mode?: number;
}

/**
 * Opens a regular file or a socket below a folder whose content may be hostile: whatever is done to it meanwhile, the file lies
 * beneath and no link was followed. Other things are refused untouched: a FIFO does not hang, a device is not opened.
 *
 * @returns a descriptor, which the caller owns. Of a socket it is a mere handle (O_PATH, the flags do not matter): connect to
 * `/proc/self/fd/<descriptor>` while it is open.
 * @throws TypeError for a name that is no plain relative path; SystemError (as rejection): `ELOOP` or `ENOTDIR` for a link on the way,
 * `EISDIR` for a folder, `EINVAL` for a FIFO or a device, `ENOENT`…
 */
export function openBeneath(root: string, name: string, options?: OpenBeneathOptions): Promise<number>;

export interface RemovedTree {
  /** Files, links, sockets and so on that were removed. */
  readonly files: number;
  readonly folders: number;
  /**
   * What could not be removed, by `path`, and why: `EXDEV` is a mount. The first 32; the folders that hold it are there too and are
   * not told. Empty: all is gone.
   */
  readonly left: readonly SystemError[];
  /** How many there are in all. */
  readonly leftCount: number;
}

/**
 * Removes a folder with all that is in it, as far as it can, and says what it removed. Crosses no mount (before Linux 5.6 a bind
 * mount of the same file system is not seen) and follows no link. When there is nothing the counts are 0. An abort ends it
 * early; what was removed then is gone, and it may be called again.
 */
export function removeTree(root: string, options?: FileCallOptions): Promise<RemovedTree>;
