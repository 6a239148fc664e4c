import { abortable, absolute, invalid, object } from './calls.js';
import type { AbortOptions } from './errors.js';
import { loadAddon } from './load.js';

/** A folder of the jail. */
export interface JailFolder {
  /** Below the root, such as `disks`. The folder it is in must be there, or be listed before it. */
  readonly name: string;
  /**
   * Whether the folder belongs to the VM. Default false: the folder belongs to our user (root), so that the
   * VM can rename and remove nothing in it.
   */
  readonly private?: boolean;
  /** Permission bits; default 0o755, 0o700 for a private one. */
  readonly mode?: number;
}

/**
 * An input that any VM may read and none may write. In the jail it is owned by us (root) and has mode 0o444.
 * A file that is so already (0o444 exactly, so that it is the same for all who have it) is hard-linked, when
 * it lies on the same file system; any other becomes a new file with the same content, by reflink where the
 * file system can, else by a copy. The file at `from` is never changed, neither its owner nor its mode.
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
 * - `by: 'link'`: `from` itself, which keeps its name too (a disk that outlives the jail); `by: 'move'`:
 *   `from` itself, which loses that name. Both need a file of exactly that uid and gid (`EPERM`), on the same
 *   file system (`EXDEV`).
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
 * A jail: plain data that says everything that will be in it. Names are relative to the root, with `/`
 * between components; none may be empty, `.` or `..`, and each name occurs once.
 */
export interface JailPlan {
  /**
   * The chroot, for Firecracker's jailer `<base>/<name of the exec file>/<id>/root`. It and the folder it is
   * in (`<id>`) are made, with mode 0o700, when they are not there; the folder above must be there. What an
   * existing root holds stays. The jailer itself makes `dev/` and `run/`, copies the exec file and gives the
   * root, not its content, to the VM.
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
  /** All files, in the order of the plan: first the shared files, then the private ones. */
  readonly files: readonly StagedJailFile[];
}

/** A list of the plan with the path of each file's origin as the kernel will see it. */
function withOrigins<T extends { readonly from?: string }>(list: readonly T[], name: string): T[] {
  const isList: boolean = Array.isArray(list);
  if (!isList) throw invalid(`plan.${name}`, 'an array of objects');
  return list.map((file, index) => {
    const { from } = object(file, `plan.${name}[${index}]`);
    return from === undefined ? file : { ...file, from: absolute(from, `plan.${name}[${index}].from`) };
  });
}

/**
 * Stages a chroot: all of the plan, or nothing. After a failure or an abort all that was made is gone again,
 * what was moved is back, and what was there is untouched; the error's `detail` names what could not be taken
 * back, if anything. (A process that is killed in the middle leaves a part: {@link removeTree} of the root,
 * and what was to be moved is in one of its two places.)
 *
 * Nothing is followed out of the root: not even a process that owns it and swaps its folders for links can
 * lead a step astray (openat2; before Linux 5.6 the same, folder by folder). Giving files to another uid
 * needs CAP_CHOWN.
 *
 * @throws TypeError for a name that would leave the root; SystemError (as rejection): `EEXIST` with the path
 * that is taken, `ENOENT`, `ENOTDIR`, `ELOOP`, `ENOSPC`…
 */
export function stageJail(plan: JailPlan, options: AbortOptions = {}): Promise<StagedJail> {
  const { signal } = object(options, 'options');
  const { root, shared = [], private: own = [], ...rest } = object(plan, 'plan');
  const resolved = {
    ...rest,
    root: absolute(root, 'plan.root'),
    shared: withOrigins(shared, 'shared'),
    private: withOrigins(own, 'private'),
  };
  return abortable(signal, () => loadAddon().stageJail(resolved));
}
