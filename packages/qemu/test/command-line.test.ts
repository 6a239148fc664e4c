import { describe, expect, it } from 'vitest';
import { commandLine, instanceIdOf, type CommandLineInput } from '../src/process/command-line.js';
import { machineDevices } from '../src/process/machine.js';

const machine = {
  accelerator: 'tcg',
  vcpuCount: 2,
  memSizeMib: 256,
  hasEntropy: false,
  drives: [],
} as const;

const input: CommandLineInput = {
  instanceId: 'ab12',
  machine,
  memory: { kind: 'memfd' },
  start: { kind: 'boot', kernelPath: '/k', initrdPath: '/i', kernelArgs: 'console=ttyS0' },
  qmpFd: 3,
  agentFd: 4,
};

/** Values of every occurrence of an option. */
function valuesOf(option: string, args: readonly string[]): string[] {
  return args.flatMap((arg, at) => (arg === option ? [args[at + 1] ?? ''] : []));
}

describe('commandLine', () => {
  it('names the process by the instance, so that it can be found without a pid', () => {
    expect(instanceIdOf(commandLine(input))).toBe('ab12');
    expect(instanceIdOf(['qemu', '-name', 'somebody-else'])).toBeUndefined();
    expect(instanceIdOf(['vi', 'microvm-ab12'])).toBeUndefined();
  });

  it('shuts the process in and keeps a guest that ended for questions', () => {
    const args = commandLine(input);
    expect(valuesOf('-sandbox', args)[0]).toMatch(/^on,.*spawn=deny/);
    expect(valuesOf('-action', args)).toEqual(['reboot=shutdown,shutdown=pause,panic=pause']);
    expect(args).toContain('-no-user-config');
  });

  it('boots from kernel, initrd and arguments with memory that a snapshot can share', () => {
    const args = commandLine(input);
    expect(valuesOf('-kernel', args)).toEqual(['/k']);
    expect(valuesOf('-initrd', args)).toEqual(['/i']);
    expect(valuesOf('-append', args)).toEqual(['console=ttyS0']);
    expect(JSON.parse(valuesOf('-object', args)[0] ?? '')).toEqual({
      'qom-type': 'memory-backend-memfd',
      id: 'ram',
      size: 256 * 1024 * 1024,
      share: true,
    });
  });

  it('maps the memory file of a snapshot privately and loads no kernel for it', () => {
    const path = '/a path, with "all" it takes/memory';
    const args = commandLine({
      ...input,
      memory: { kind: 'snapshot-file', path },
      start: { kind: 'incoming' },
    });
    expect(JSON.parse(valuesOf('-object', args)[0] ?? '')).toMatchObject({ 'mem-path': path, share: false });
    expect(valuesOf('-incoming', args)).toEqual(['defer']);
    expect(args).not.toContain('-kernel');
  });

  it('takes the accelerator that it is told', () => {
    expect(valuesOf('-accel', commandLine(input))).toEqual(['tcg,thread=multi']);
    const kvm = commandLine({ ...input, machine: { ...machine, accelerator: 'kvm' } });
    expect(valuesOf('-accel', kvm)).toEqual(['kvm']);
  });

  it('gives drives in their order, errors to the guest, and read-only where asked', () => {
    const drives = [
      { driveId: 'root', file: 'disks/root.raw', readOnly: false },
      { driveId: 'a_name_of_20_letters', file: '/srv/a,b.img', readOnly: true },
    ];
    const args = commandLine({ ...input, machine: { ...machine, drives } });
    const nodes = valuesOf('-blockdev', args).map((json) => JSON.parse(json) as Record<string, unknown>);
    expect(nodes).toMatchObject([
      { 'node-name': 'drive0', 'read-only': false, file: { filename: 'disks/root.raw' } },
      { 'node-name': 'drive1', 'read-only': true, file: { filename: '/srv/a,b.img' } },
    ]);
    const blocks = machineDevices({ ...machine, drives }).filter(
      ({ driver }) => driver === 'virtio-blk-device',
    );
    expect(blocks.map(({ drive, serial, werror }) => [drive, serial, werror])).toEqual([
      ['drive0', 'root', 'report'],
      ['drive1', 'a_name_of_20_letters', 'report'],
    ]);
  });

  it('has an entropy device only when asked, and never a network', () => {
    expect(commandLine(input).join(' ')).not.toContain('rng');
    const args = commandLine({ ...input, machine: { ...machine, hasEntropy: true } });
    expect(valuesOf('-object', args)).toContain('rng-random,id=entropy,filename=/dev/urandom');
    expect(args.join(' ')).toContain('virtio-rng-device');
    expect(args.join(' ')).not.toContain('netdev');
  });
});
