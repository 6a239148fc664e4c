import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import { PackageMissing } from '../default/apt.js';
import { OWN_KERNEL_REMEDY } from '../default/host-check.js';
import { ProgramFailed, ProgramMissing } from './program.js';
import { hasCode, systemCode } from './system-error.js';

/** Debian packages of the programs that are run here. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  'apt-get': 'apt',
  'apt-cache': 'apt',
  'dpkg-deb': 'dpkg',
  sqfstar: 'squashfs-tools',
  skopeo: 'skopeo',
  xz: 'xz-utils',
  setpriv: 'util-linux',
  prlimit: 'util-linux',
};

export interface FailedWork {
  /** What was being done, such as `create disk "/a/b"`. */
  readonly operation: string;
  /** Where it was written to. */
  readonly path: string;
  readonly neededBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The contract's error for what went wrong below; an abort's reason and an error of the contract stay as they
 * are.
 */
export async function toContractError(error: unknown, work: FailedWork): Promise<unknown> {
  if (isVmRuntimeError(error)) return error;
  if (work.signal?.aborted === true) return work.signal.reason;
  if (isNoSpace(error)) return noSpace(error, work);
  if (error instanceof PackageMissing) {
    return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', `${work.operation}: ${error.message}`, {
      details: { findings: ['kernel-package-missing'] },
      cause: error,
      remedy: OWN_KERNEL_REMEDY,
    });
  }
  if (error instanceof ProgramMissing) {
    const name = PACKAGE_OF[error.program] ?? error.program;
    return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', `${work.operation}: ${error.message}`, {
      details: { findings: ['program-missing'] },
      cause: error,
      remedy: `install ${error.program}: apt-get install ${name}`,
    });
  }
  return hostFailure(error, work);
}

function hostFailure(error: unknown, work: FailedWork): unknown {
  const errno = systemCode(error);
  if (!(error instanceof ProgramFailed) && errno === undefined) return error;
  const message = `${work.operation}: ${(error as Error).message}`;
  const details = { operation: work.operation, ...(errno === undefined ? {} : { errno }) };
  const isApt = error instanceof ProgramFailed && error.program.startsWith('apt-');
  return new VmRuntimeError('MICROVM_HOST_FAILURE', message, {
    details,
    cause: error,
    ...(isApt ? { remedy: 'see whether `apt-get update` works on this host: sources, network, proxy' } : {}),
  });
}

function isNoSpace(error: unknown): boolean {
  if (hasCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG')) return true;
  // Programs say it in words only; runProgram fixes their language.
  return (
    error instanceof ProgramFailed && /No space left on device|Disk quota exceeded/.test(error.stderrTail)
  );
}

async function noSpace(
  error: unknown,
  { operation, path, neededBytes }: FailedWork,
): Promise<VmRuntimeError> {
  const available = await statfs(dirname(path)).then(
    ({ bavail, bsize }) => ({ availableBytes: bavail * bsize }),
    // The numbers are an addition; the folder itself may be gone.
    () => ({}),
  );
  const details = { path, ...(neededBytes === undefined ? {} : { neededBytes }), ...available };
  return new VmRuntimeError('MICROVM_NO_SPACE', `${operation}: no space left`, { details, cause: error });
}
