import { describe, expect, it } from 'vitest';
import { bareArgs, instanceIdOf, jailerArgs, VMM_MARK } from '../src/process/command-line.js';
import { kernelArgs } from '../src/process/kernel-args.js';

const jail = { chrootBaseDir: '/s/jail', uid: 7, gid: 8 };

describe('the command line', () => {
  it('of the jailer has what the VM has and no value for a cgroup, which is ours', () => {
    const args = jailerArgs('i1', '/s/bin/firecracker', {
      ...jail,
      cgroup: 'microvm/x/i1',
      netnsPath: '/run/netns/n',
    });
    const own = args.slice(0, args.indexOf('--'));
    expect(own.join(' ')).toBe(
      '--id i1 --exec-file /s/bin/firecracker --uid 7 --gid 8 --chroot-base-dir /s/jail ' +
        '--cgroup-version 2 --parent-cgroup microvm/x/i1 --netns /run/netns/n',
    );
    expect(own).not.toContain('--cgroup');
    expect(own).not.toContain('--daemonize');
    expect(own).not.toContain('--new-pid-ns');
  });

  it('tells the instance, jailed, bare and while it is still the jailer', () => {
    const bare = ['/s/bin/firecracker', ...bareArgs('i1')];
    const jailer = ['/usr/bin/jailer', ...jailerArgs('i1', '/s/bin/firecracker', jail)];
    const jailed = ['/firecracker', '--id', 'i1', '--start-time-us', '1', '--api-sock', VMM_MARK];
    for (const args of [bare, jailer, jailed]) {
      expect(args).toContain(VMM_MARK);
      expect(instanceIdOf(args)).toBe('i1');
    }
  });
});

describe('the kernel’s arguments', () => {
  it('are tuned, with the caller’s behind them or in their place', () => {
    const tuned = kernelArgs({});
    expect(tuned).toContain('reboot=k');
    expect(tuned).toContain('microvm.poweroff=reboot');
    // It would end the path of Ctrl-Alt-Del.
    expect(tuned).not.toContain('nokbd');
    expect(kernelArgs({ bootArgs: { append: 'a=1' } })).toBe(`${tuned} a=1`);
    expect(kernelArgs({ bootArgs: { replace: 'b=2' } })).toBe('b=2');
  });
});
