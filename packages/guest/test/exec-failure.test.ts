import { describe, expect, it } from 'vitest';
import { startError } from '../src/exec-failure.js';

const failure = {
  vm: { vmId: 'vm' },
  program: 'tool',
  cwd: '/srv',
  user: 'me',
  errno: 'ENOENT',
  step: 'exec',
};

describe('the error of a command that did not start', () => {
  it.each([
    ['exec', 'ENOENT', /no such program/, /PATH/],
    ['exec', 'EACCES', /may not execute it/, /mode bit x/],
    ['exec', 'ENOEXEC', /format/, /architecture/],
    ['exec', 'E2BIG', /arguments and environment/, /128 KiB/],
    ['exec', 'EMLINK', /exec failed/, /`step` failed/],
    ['cwd', 'ENOENT', /working directory "\/srv" does not exist/, /`cwd`/],
    ['cwd', 'ENOTDIR', /working directory "\/srv" is no folder/, /`cwd`/],
    ['cwd', 'EPERM', /working directory "\/srv" cannot be entered/, /`cwd`/],
    ['exec', 'EAGAIN', /as many processes/, /`rlimits.processes`/],
    ['exec', 'ENOMEM', /does not fit/, /`rlimits.addressSpaceBytes`/],
    ['user', 'ENOENT', /the user "me" is not known/, /\/etc\/passwd/],
    ['user', 'EPERM', /the user "me" cannot be taken on/, /as root/],
    ['user', 'EAGAIN', /the user "me" cannot be taken on/, /`user`/],
    ['rlimits', 'EPERM', /limits cannot be set/, /`rlimits`/],
    ['pty', 'ENOENT', /gives no terminal/, /devpts/],
    ['cgroup', 'EACCES', /cgroup failed/, /`step` failed/],
  ])('says what is wrong where %s failed with %s', (step, errno, message, remedy) => {
    const error = startError({ ...failure, step, errno });
    expect(error).toMatchObject({
      code: 'MICROVM_EXEC_FAILED',
      retryable: false,
      details: { program: 'tool', errno, step },
    });
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`(${step}: ${errno})`);
    expect(error.remedy).toMatch(remedy);
  });

  it.each([
    ['start', 'EAGAIN'],
    ['start', 'EMFILE'],
    ['start', 'ENOMEM'],
    ['frozen', 'EBUSY'],
    ['cgroup', 'EAGAIN'],
  ])('is retryable where %s failed with %s: the guest has none of something now', (step, errno) => {
    const error = startError({ ...failure, step, errno });
    expect(error).toMatchObject({ code: 'MICROVM_GUEST_BUSY', retryable: true });
    expect(error.message).toContain(`${step} failed with ${errno}`);
  });

  it('blames the shutdown in a guest that is going down', () => {
    const error = startError({ ...failure, step: 'shutdown', errno: 'ESHUTDOWN' });
    expect(error).toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
      details: { reason: 'the guest is shutting down' },
      remedy: 'start the VM again',
    });
  });
});
