import type { Readable, Writable } from 'node:stream';

/** A change, as `fs.watch` of Node tells it. */
export interface FileChange<Name extends string | Buffer = string> {
  /**
   * `rename`: a name has come or gone. `change`: content, mode, owner or times are other ones. `lagged`:
   * changes were lost, because more came than were taken, or more folders than 1,024; look for yourself.
   */
  readonly eventType: 'rename' | 'change' | 'lagged';
  /** From the folder that is watched; null with `lagged`. */
  readonly filename: Name | null;
}

/** Iterate it for the changes. It ends with the loop, by its signal, and with its VM. */
export interface FileWatcher<Name extends string | Buffer = string>
  extends AsyncIterableIterator<FileChange<Name>>, AsyncDisposable {
  /** Changes from here on are told. Rejects as the iteration does: with ENOENT, ENOSPC … */
  readonly ready: Promise<void>;
  next(): Promise<IteratorResult<FileChange<Name>, undefined>>;
  return(): Promise<IteratorResult<FileChange<Name>, undefined>>;
}

export interface WatchOptions extends FileCallOptions {
  /** Folders below too, also those that come. At most 1,024 in all: more at the begin is ENOSPC. */
  readonly recursive?: boolean;
  /** `buffer` answers names as bytes. Default `utf8`. */
  readonly encoding?: BufferEncoding | 'buffer' | null;
}

/** An entry of a tree that is copied, as its filter sees it. */
export interface TreeEntry {
  /** From the root of the tree, with `/` between the names. */
  readonly path: string;
  /** A further name of a file with several ones is a `file`, too. */
  readonly type: 'file' | 'folder' | 'symlink' | 'device' | 'fifo';
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  /** Bytes of a file. */
  readonly size: number;
  /** What a symbolic link says. */
  readonly target?: string;
}

/** False leaves the entry out, and a folder with all that is in it. It is not asked for the root. */
export type TreeFilter = (entry: TreeEntry) => boolean;

/** What was copied so far, or in all. `bytes` are those of content: holes of files are none. */
export interface TreeProgress {
  readonly entries: number;
  readonly bytes: number;
}

export interface TreeCopy extends TreeProgress {
  /** Devices and FIFOs that were left out. */
  readonly skipped: number;
}

export interface CopyInOptions extends FileCallOptions {
  /**
   * Keeps owners, and the mode bits setuid, setgid and sticky. Default: false; all belongs to whoever writes.
   */
  readonly owners?: boolean;
  /** Copies devices and FIFOs, too. Default: false; they are counted as `skipped`. Sockets are left out. */
  readonly devices?: boolean;
  /** Hard links become files of their own where there is a filter. */
  readonly filter?: TreeFilter;
  readonly onProgress?: (progress: TreeProgress) => void;
}

export interface CopyOutOptions extends CopyInOptions {
  /** Default 1,000,000; beyond it `MICROVM_OUTPUT_LIMIT`. */
  readonly maxEntries?: number;
  /** Bytes of content. Default 64 GiB; beyond it `MICROVM_OUTPUT_LIMIT`. */
  readonly maxBytes?: number;
}

/** An absolute path of the guest: a string, or the bytes of a name that is not UTF-8. At most 4,095 bytes. */
export type GuestPath = string | Uint8Array;

/** What every call on the guest's files takes. */
export interface FileCallOptions {
  /**
   * Whose permissions count: as `user` of a command. The kernel of the guest decides, so what the user may
   * not do fails with `EACCES` or `EPERM`. Default: whoever the agent is, which is root in a guest of ours.
   */
  readonly user?: string | number;
  /** An abort ends the call in the guest too, and rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** From the call to its end, in milliseconds; then it is ended in the guest: `MICROVM_TIMEOUT`. */
  readonly timeoutMs?: number;
}

/** What bounds the memory of a call that collects what the guest sends. */
export interface CollectOptions {
  /**
   * Bytes that the call may collect, 4 MiB by default; beyond it `MICROVM_OUTPUT_LIMIT`, and nothing is cut
   * silently. An entry of a folder counts with 128 bytes and its name.
   */
  readonly maxBytes?: number;
}

export interface ReadFileOptions extends FileCallOptions, CollectOptions {
  /** Answers a string of this encoding. Default: a `Buffer`. */
  readonly encoding?: BufferEncoding | null;
  /** As `open` has it. Default `r`. */
  readonly flag?: string | number;
}

export interface WriteFileOptions extends FileCallOptions {
  /** Of a string. Default `utf8`. */
  readonly encoding?: BufferEncoding;
  /** Of a file that is made, before the guest's umask. Default `0o666`. */
  readonly mode?: number;
  /** As `open` has it. Default `w`; `a` for `appendFile`. */
  readonly flag?: string | number;
  /** Writes the file back to its disk before the call resolves. */
  readonly flush?: boolean;
  /**
   * Whoever opens the path finds the old content or the whole of the new one, also after a crash: the content
   * is written beside it, flushed, and renamed over it. A file that is there keeps its mode and, where the
   * user may set it, its owner; a symbolic link keeps pointing to its target. Other hard links keep the old
   * content. Not with a `flag` other than `w`.
   */
  readonly atomic?: boolean;
}

/** A moment: seconds since 1970 as a number or in digits, or a `Date`. */
export type FileTime = number | string | Date;

/** As `fs.Stats` of Node. */
export interface FileStats {
  readonly dev: number;
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isBlockDevice(): boolean;
  isCharacterDevice(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
}

/** As `fs.Dirent` of Node. */
export interface FileEntry<Name extends string | Buffer = string> {
  readonly name: Name;
  /** The folder that the entry lies in. */
  readonly parentPath: Name;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isBlockDevice(): boolean;
  isCharacterDevice(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
}

export interface ReaddirOptions extends FileCallOptions, CollectOptions {
  /** `buffer` answers names as bytes. Default `utf8`, in which bytes that are not UTF-8 become U+FFFD. */
  readonly encoding?: BufferEncoding | 'buffer' | null;
  /** Folders below it too, by their paths from it. Symbolic links are not followed. */
  readonly recursive?: boolean;
  readonly withFileTypes?: boolean;
}

export interface MkdirOptions extends FileCallOptions {
  /** Its missing parents too; one that is there is no error. */
  readonly recursive?: boolean;
  /** Before the guest's umask. Default `0o777`. */
  readonly mode?: number;
}

export interface RmOptions extends FileCallOptions {
  /** Folders too, with all that is in them. */
  readonly recursive?: boolean;
  /** What is not there is no error. */
  readonly force?: boolean;
}

/** Where a path or a target of a link is answered. */
export interface PathAnswerOptions extends FileCallOptions {
  /** `buffer` answers its bytes. Default `utf8`. */
  readonly encoding?: BufferEncoding | 'buffer' | null;
}

export interface FileReadStreamOptions extends FileCallOptions {
  readonly encoding?: BufferEncoding;
  /** The first byte. Default 0; of what has no places, such as a FIFO, leave it out. */
  readonly start?: number;
  /** The last byte, which is read too. Default: to the end. */
  readonly end?: number;
  readonly highWaterMark?: number;
}

export interface FileWriteStreamOptions extends WriteFileOptions {
  /** As `flag`: Node has it by this name here. */
  readonly flags?: string | number;
  /** Where in the file the first byte goes. Without it: at the begin, or at the end with the flag `a`. */
  readonly start?: number;
  readonly highWaterMark?: number;
}

/** A call that is aborted, or out of time, ends the handle: its process in the guest is killed. */
export type FileHandleOptions = Omit<FileCallOptions, 'user'>;

/** Which bytes of a buffer, and where in the file. */
export interface FileTransferOptions extends FileHandleOptions {
  readonly offset?: number;
  readonly length?: number;
  readonly position?: number | null;
}

/** An open file of the guest. It has a process of its own there, and at most 64 are open at once. */
export interface GuestFileHandle extends AsyncDisposable {
  /**
   * Reads `length` bytes (the rest of the buffer by default) from `position`, or from where the last read
   * without a position has ended, into the buffer at `offset`. 0 bytes are the end.
   */
  read<T extends Uint8Array>(
    buffer: T,
    options?: FileTransferOptions,
  ): Promise<{ readonly bytesRead: number; readonly buffer: T }>;
  read<T extends Uint8Array>(
    buffer: T,
    offset?: number,
    length?: number,
    position?: number | null,
  ): Promise<{ readonly bytesRead: number; readonly buffer: T }>;
  /** Writes `length` bytes of the buffer from `offset` on; they are all written, or it rejects. */
  write<T extends Uint8Array>(
    buffer: T,
    options?: FileTransferOptions,
  ): Promise<{ readonly bytesWritten: number; readonly buffer: T }>;
  write<T extends Uint8Array>(
    buffer: T,
    offset?: number,
    length?: number,
    position?: number | null,
  ): Promise<{ readonly bytesWritten: number; readonly buffer: T }>;
  stat(options?: FileHandleOptions): Promise<FileStats>;
  /** 0 bytes by default. */
  truncate(length?: number, options?: FileHandleOptions): Promise<void>;
  chmod(mode: number, options?: FileHandleOptions): Promise<void>;
  chown(uid: number, gid: number, options?: FileHandleOptions): Promise<void>;
  utimes(atime: FileTime, mtime: FileTime, options?: FileHandleOptions): Promise<void>;
  /** fsync(2) of the guest. */
  sync(options?: FileHandleOptions): Promise<void>;
  datasync(options?: FileHandleOptions): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

/**
 * The guest's files, with the names and the semantics of `node:fs/promises`. The kernel of the guest does it
 * all, as the user that was asked for.
 *
 * What the guest refuses rejects with an error of Node's own shape: `code` (`ENOENT`), `errno`, `syscall`,
 * `path` and `dest`. Everything else is a `VmRuntimeError`: INVALID_ARGUMENT, TIMEOUT, OUTPUT_LIMIT,
 * GUEST_UNREACHABLE, GUEST_BUSY (not begun within `timeoutMs`: as for `exec`), EXEC_FAILED with the step
 * `user` (no such user), UNSUPPORTED (an agent of protocol 1). Up to 16 calls run at once, others wait.
 */
export interface GuestFiles {
  readFile(
    path: GuestPath,
    options: (ReadFileOptions & { encoding: BufferEncoding }) | BufferEncoding,
  ): Promise<string>;
  readFile(path: GuestPath, options?: (ReadFileOptions & { encoding?: null }) | null): Promise<Buffer>;
  /** A file that is there is emptied first, unless it is asked to be `atomic`. */
  writeFile(
    path: GuestPath,
    data: string | Uint8Array,
    options?: WriteFileOptions | BufferEncoding,
  ): Promise<void>;
  appendFile(
    path: GuestPath,
    data: string | Uint8Array,
    options?: Omit<WriteFileOptions, 'atomic'> | BufferEncoding,
  ): Promise<void>;
  /** `flags` as Node has them (`r`, `r+`, `w`, `wx`, `a` …), or the bits of open(2). Default `r`. */
  open(
    path: GuestPath,
    flags?: string | number,
    mode?: number,
    options?: FileCallOptions,
  ): Promise<GuestFileHandle>;
  /** Reads as its reader takes it. Destroying the stream ends the reading in the guest. */
  createReadStream(path: GuestPath, options?: FileReadStreamOptions): Readable;
  /**
   * Its `finish` is told when the guest has written all of it (and, `atomic`, renamed it). Destroying the
   * stream leaves what was written so far, or the old file with `atomic`.
   */
  createWriteStream(path: GuestPath, options?: FileWriteStreamOptions): Writable;
  stat(path: GuestPath, options?: FileCallOptions): Promise<FileStats>;
  /** As `stat`, of a symbolic link itself. */
  lstat(path: GuestPath, options?: FileCallOptions): Promise<FileStats>;
  readdir(
    path: GuestPath,
    options: ReaddirOptions & { encoding: 'buffer'; withFileTypes: true },
  ): Promise<FileEntry<Buffer>[]>;
  readdir(path: GuestPath, options: ReaddirOptions & { withFileTypes: true }): Promise<FileEntry[]>;
  readdir(path: GuestPath, options: ReaddirOptions & { encoding: 'buffer' }): Promise<Buffer[]>;
  readdir(path: GuestPath, options?: ReaddirOptions & { withFileTypes?: false }): Promise<string[]>;
  /** With `recursive` the first folder that was made, if any. */
  mkdir(path: GuestPath, options?: MkdirOptions): Promise<string | undefined>;
  rm(path: GuestPath, options?: RmOptions): Promise<void>;
  rmdir(path: GuestPath, options?: FileCallOptions): Promise<void>;
  unlink(path: GuestPath, options?: FileCallOptions): Promise<void>;
  rename(from: GuestPath, to: GuestPath, options?: FileCallOptions): Promise<void>;
  /** `mode`: of `fs.constants`, COPYFILE_EXCL, COPYFILE_FICLONE and COPYFILE_FICLONE_FORCE. */
  copyFile(from: GuestPath, to: GuestPath, mode?: number, options?: FileCallOptions): Promise<void>;
  chmod(path: GuestPath, mode: number, options?: FileCallOptions): Promise<void>;
  chown(path: GuestPath, uid: number, gid: number, options?: FileCallOptions): Promise<void>;
  /** As `chown`, of a symbolic link itself. */
  lchown(path: GuestPath, uid: number, gid: number, options?: FileCallOptions): Promise<void>;
  utimes(path: GuestPath, atime: FileTime, mtime: FileTime, options?: FileCallOptions): Promise<void>;
  /** As `utimes`, of a symbolic link itself. */
  lutimes(path: GuestPath, atime: FileTime, mtime: FileTime, options?: FileCallOptions): Promise<void>;
  /** `target` is what the link says, absolute or not. */
  symlink(target: GuestPath, path: GuestPath, options?: FileCallOptions): Promise<void>;
  /** A hard link. */
  link(existing: GuestPath, path: GuestPath, options?: FileCallOptions): Promise<void>;
  readlink(path: GuestPath, options: PathAnswerOptions & { encoding: 'buffer' }): Promise<Buffer>;
  readlink(path: GuestPath, options?: PathAnswerOptions): Promise<string>;
  realpath(path: GuestPath, options: PathAnswerOptions & { encoding: 'buffer' }): Promise<Buffer>;
  realpath(path: GuestPath, options?: PathAnswerOptions): Promise<string>;
  /** 0 bytes by default. */
  truncate(path: GuestPath, length?: number, options?: FileCallOptions): Promise<void>;
  /** `mode`: of `fs.constants`, F_OK, R_OK, W_OK and X_OK. Rejects where the user may not. */
  access(path: GuestPath, mode?: number, options?: FileCallOptions): Promise<void>;
  /** Six random characters behind the prefix; answers the path. */
  mkdtemp(prefix: GuestPath, options: PathAnswerOptions & { encoding: 'buffer' }): Promise<Buffer>;
  mkdtemp(prefix: GuestPath, options?: PathAnswerOptions): Promise<string>;
  /**
   * Tells of changes of a file, or in a folder, by the guest's inotify; it begins at once. What is not taken
   * is bounded, and what is lost is told as `lagged`. With `timeoutMs` it ends by `MICROVM_TIMEOUT` then.
   */
  watch(path: GuestPath, options: WatchOptions & { encoding: 'buffer' }): FileWatcher<Buffer>;
  watch(path: GuestPath, options?: WatchOptions): FileWatcher;
  /**
   * Copies a file or a folder of the host, with modes, times, links and holes: `guestPath` becomes what
   * `hostPath` is, and the folder that it lies in is there. Folders that are there are merged, files are
   * replaced. Symbolic links are copied, never followed, but `hostPath` itself is. A failure leaves what was
   * copied so far.
   */
  copyIn(hostPath: string, guestPath: GuestPath, options?: CopyInOptions): Promise<TreeCopy>;
  /**
   * The same from the guest to the host. Whatever a hostile guest sends, nothing is written outside of
   * `hostPath`, and no link is followed but `hostPath` itself. Names, depth (256), entries and bytes are
   * bounded.
   */
  copyOut(guestPath: GuestPath, hostPath: string, options?: CopyOutOptions): Promise<TreeCopy>;
}
