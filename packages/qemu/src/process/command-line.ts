import { MIB } from '@microvm/runtime';
import { FILES } from '../host/paths.js';
import { CPU_MODEL, MACHINE_TYPE, machineDevices, type MachineConfig } from './machine.js';

/** Where the guest's memory is. */
export type MemoryBackend =
  /** Memory of the process alone, in a memfd that a snapshot can be copied from. */
  | { readonly kind: 'memfd' }
  /** A snapshot's memory file, mapped copy-on-write: any number of VMs share what they did not write. */
  | { readonly kind: 'snapshot-file'; readonly path: string };

export type StartMode =
  | {
      readonly kind: 'boot';
      readonly kernelPath: string;
      readonly initrdPath?: string;
      readonly kernelArgs: string;
    }
  /** Waits for `migrate-incoming`. The kernel is in the memory that comes. */
  | { readonly kind: 'incoming' };

export interface CommandLineInput {
  readonly instanceId: string;
  readonly machine: MachineConfig;
  readonly memory: MemoryBackend;
  readonly start: StartMode;
  /** Listening sockets, as descriptor numbers of the child. */
  readonly qmpFd: number;
  readonly agentFd: number;
}

const CONSOLE_CHARDEV = 'console';
const NAME_PREFIX = 'microvm-';

const MACHINE_OPTIONS = 'acpi=on,rtc=on,memory-backend=ram';
// elevateprivileges=deny forbids -runas, spawn=deny forbids exec: migration; neither is used.
const SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';
// A guest's end leaves the process there, so that what happened can be asked for even when nobody was
// listening.
const ENDINGS = 'reboot=shutdown,shutdown=pause,panic=pause';

/** The value of `-name`: how a VMM is found again when its pid was never recorded. */
export function processName(instanceId: string): string {
  return `${NAME_PREFIX}${instanceId}`;
}

/** The instance that a command line belongs to, when it is one of ours. */
export function instanceIdOf(args: readonly string[]): string | undefined {
  const value = args[args.indexOf('-name') + 1];
  return args.includes('-name') && value?.startsWith(NAME_PREFIX) === true
    ? value.slice(NAME_PREFIX.length)
    : undefined;
}

/**
 * QEMU's arguments; names of files are relative to the VM's folder, which has to be the working directory.
 */
export function commandLine(input: CommandLineInput): string[] {
  const { machine } = input;
  return [
    ...['-name', processName(input.instanceId)],
    ...['-no-user-config', '-nodefaults', '-display', 'none'],
    ...['-sandbox', SANDBOX],
    ...['-M', `${MACHINE_TYPE},${MACHINE_OPTIONS}`],
    ...['-accel', machine.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi'],
    ...['-cpu', CPU_MODEL],
    ...['-smp', String(machine.vcpuCount)],
    ...['-m', `${machine.memSizeMib}M`],
    ...['-object', JSON.stringify(memoryObject(input.memory, machine.memSizeMib))],
    ...['-action', ENDINGS],
    ...['-chardev', `socket,id=qmp,fd=${input.qmpFd},server=on,wait=off`],
    ...['-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `file,id=${CONSOLE_CHARDEV},path=${FILES.console},append=on`],
    ...['-serial', `chardev:${CONSOLE_CHARDEV}`],
    ...['-chardev', `socket,id=agent,fd=${input.agentFd},server=on,wait=off`],
    ...(machine.hasEntropy ? ['-object', 'rng-random,id=entropy,filename=/dev/urandom'] : []),
    ...machine.drives.flatMap((drive, index) => ['-blockdev', JSON.stringify(blockdev(drive, index))]),
    ...machineDevices(machine).flatMap((device) => ['-device', JSON.stringify(device)]),
    ...startArgs(input.start),
  ];
}

function memoryObject(memory: MemoryBackend, memSizeMib: number): Record<string, unknown> {
  const size = memSizeMib * MIB;
  switch (memory.kind) {
    case 'memfd':
      return { 'qom-type': 'memory-backend-memfd', id: 'ram', size, share: true };
    case 'snapshot-file':
      return { 'qom-type': 'memory-backend-file', id: 'ram', size, 'mem-path': memory.path, share: false };
  }
}

function blockdev(drive: MachineConfig['drives'][number], index: number): Record<string, unknown> {
  return {
    driver: 'raw',
    'node-name': `drive${index}`,
    'read-only': drive.readOnly,
    ...(drive.readOnly ? {} : { discard: 'unmap' }),
    file: { driver: 'file', filename: drive.file, 'read-only': drive.readOnly },
  };
}

function startArgs(start: StartMode): string[] {
  if (start.kind === 'incoming') return ['-incoming', 'defer'];
  return [
    ...['-kernel', start.kernelPath],
    ...(start.initrdPath === undefined ? [] : ['-initrd', start.initrdPath]),
    ...['-append', start.kernelArgs],
  ];
}
