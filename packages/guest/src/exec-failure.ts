import { type NamedVm, VmRuntimeError } from '@microvm/runtime';
import { unreachable } from './unreachable.js';

/** A command that did not start, as the guest told of it. */
export interface StartFailure {
  readonly vm: NamedVm;
  readonly program: string;
  /** Empty: that of the VM's image. */
  readonly cwd: string;
  /** Empty: that of the VM's image. */
  readonly user: string;
  readonly errno: string;
  /** What the agent was doing: `exec`, `cwd`, `user`, `start` … */
  readonly step: string;
}

/** Too many of something, at this moment: the same command may start later. */
const PASSING: ReadonlySet<string> = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'EBUSY']);

const EXEC_PROBLEMS: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  ENOENT: [
    'the guest has no such program, or not the interpreter that the program names',
    'check that the program exists in the guest and lies in its PATH',
  ],
  EACCES: [
    'the guest may not execute it',
    'check that the program is a file with the mode bit x, on a file system that is not mounted noexec',
  ],
  ENOEXEC: [
    'the guest’s kernel does not know the format of the file',
    'check the program’s architecture, or the first line of a script',
  ],
  E2BIG: [
    'its arguments and environment are longer than the guest’s kernel takes',
    'pass less: one argument is at most 128 KiB long; send more by the standard input or a file',
  ],
  ENOTDIR: ['a part of its path is no folder', 'correct the program’s path'],
  EISDIR: ['it is a folder', 'correct the program’s path'],
  ELOOP: ['its path has too many symbolic links', 'correct the program’s path'],
  ENAMETOOLONG: ['its path is too long', 'correct the program’s path'],
  ETXTBSY: ['the file is being written', 'close the file in the guest before it is run'],
  EIO: ['the guest cannot read the file', 'read the VM’s console'],
  ENOMEM: [
    'it does not fit the memory that it may have',
    'raise `rlimits.addressSpaceBytes`, or give the VM more memory',
  ],
  EAGAIN: ['its user has as many processes as it may have', 'raise `rlimits.processes`'],
};

const CWD_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'is no folder',
  EACCES: 'may not be entered',
  ELOOP: 'has too many symbolic links',
  ENAMETOOLONG: 'is too long a path',
};

const USER_PROBLEMS: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  ENOENT: ['is not known in the guest', 'name a user and a group of the guest’s /etc/passwd and /etc/group'],
  EFBIG: ['cannot be looked up', 'make /etc/passwd and /etc/group of the guest smaller: 1 MiB each'],
  EPERM: ['cannot be taken on', 'run the agent as root in the guest'],
};

const ATTACH_PROBLEMS: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  ESRCH: [
    'the guest has no such command',
    'look at `commands()`: ends are kept for a bounded time, and a boot begins without commands',
  ],
  EINVAL: ['its output is not as long as `from` says', 'take `from` from the `offsets` of a reader'],
};

const STEP_PROBLEMS: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  rlimits: [
    'its limits cannot be set',
    'correct `rlimits`: none may exceed what the guest allows, such as /proc/sys/fs/nr_open for `openFiles`',
  ],
  secrets: [
    'a secret that it names is not in the guest, or has a NUL and can be no variable',
    'set the secret first, or read a binary one from its file below /run/secrets',
  ],
  argv: [
    'it names no program, and the VM has no image that names one',
    'give `argv`, or use an image that has ENTRYPOINT or CMD',
  ],
  pty: ['the guest gives no terminal', 'mount a devpts at /dev/pts of the guest'],
};

/** Steps whose outcome is the request's own doing, whatever the errno. */
const OWN_STEPS: ReadonlySet<string> = new Set(['exec', 'cwd', 'user', 'rlimits', 'secrets', 'argv']);

/**
 * The error of the contract: EXEC_FAILED says what is wrong with the request, GUEST_BUSY that the guest
 * cannot now.
 */
export function startError(failure: StartFailure): VmRuntimeError {
  const { vm, program, cwd, errno, step } = failure;
  if (step === 'shutdown') {
    return unreachable(vm, 'the guest is shutting down', { remedy: 'start the VM again' });
  }
  if (!OWN_STEPS.has(step) && PASSING.has(errno)) {
    return guestBusy(vm, program, `${step} failed with ${errno}`);
  }
  const { what, remedy } = describe(failure);
  const message = `exec "${program}" in the guest: ${what} (${step}: ${errno})`;
  return new VmRuntimeError('MICROVM_EXEC_FAILED', message, {
    details: { program, errno, step },
    ...(remedy === undefined ? {} : { remedy }),
  });

  function describe({ step: at }: StartFailure): { readonly what: string; readonly remedy?: string } {
    if (at === 'cwd') {
      const problem = CWD_PROBLEMS[errno] ?? 'cannot be entered';
      if (cwd === '') return { what: `the image’s working directory ${problem}`, remedy: 'give `cwd`' };
      return { what: `the working directory "${cwd}" ${problem}`, remedy: 'correct `cwd`' };
    }
    if (at === 'user') {
      const [problem, correction] = USER_PROBLEMS[errno] ?? ['cannot be taken on', 'correct `user`'];
      if (failure.user === '') return { what: `the image’s user ${problem}`, remedy: 'give `user`' };
      return { what: `the user "${failure.user}" ${problem}`, remedy: correction };
    }
    const byErrno = at === 'exec' ? EXEC_PROBLEMS : at === 'attach' ? ATTACH_PROBLEMS : undefined;
    const known = byErrno === undefined ? STEP_PROBLEMS[at] : byErrno[errno];
    if (known !== undefined) return { what: known[0], remedy: known[1] };
    return { what: `${at} failed`, remedy: 'read `details`: `step` failed with `errno` in the guest' };
  }
}

/** The command was not started: it may be asked for again, and cannot have done anything yet. */
export function guestBusy({ vmId }: NamedVm, program: string, reason: string): VmRuntimeError {
  const message = `exec "${program}" in the guest of "${vmId}": not started: ${reason}`;
  return new VmRuntimeError('MICROVM_GUEST_BUSY', message, { details: { vmId, reason } });
}
