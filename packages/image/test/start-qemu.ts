import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { makeTempDir } from './temp-dir.js';

/** The agent's port, as QEMU makes it at its start or when it is told to later. */
export const AGENT_PORT = { driver: 'virtserialport', chardev: 'agent', name: 'microvm.agent' };

export interface QemuOptions {
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly bootArgs: string;
  readonly memSizeMib: number;
  /** `/dev/vda`, `/dev/vdb`, … */
  readonly disks: readonly { readonly path: string; readonly isReadOnly: boolean }[];
  /** Has the agent's port from the start. */
  readonly hasPort: boolean;
}

export interface StartedQemu {
  readonly vmm: ChildProcess;
  readonly exited: Promise<number | null>;
  /** The host's end of the agent's channel, once QEMU has opened it. */
  readonly socket: Promise<Socket>;
  /** Has QEMU's files: `console`, `qmp.sock`. */
  readonly folder: string;
}

/** Starts QEMU, which ends with the test, however that ends. */
export async function startQemu(options: QemuOptions): Promise<StartedQemu> {
  const folder = await makeTempDir();
  const server = createServer().listen(join(folder, 'agent.sock'));
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const socket = once(server, 'connection').then(([connected]) => connected as Socket);
  const args = [
    ...['-M', 'microvm,acpi=on,rtc=on', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '1'],
    ...['-m', String(options.memSizeMib), '-nodefaults', '-no-user-config', '-nographic', '-no-reboot'],
    ...['-serial', `file:${join(folder, 'console')}`],
    ...['-kernel', options.kernelPath, '-initrd', options.initrdPath],
    ...['-append', `${options.bootArgs} tsc_early_khz=${await hostKhz()}`],
    ...['-device', 'virtio-serial-device,id=serial'],
    ...['-chardev', `socket,id=agent,path=${join(folder, 'agent.sock')}`],
    ...['-qmp', `unix:${join(folder, 'qmp.sock')},server=on,wait=off`],
    ...options.disks.flatMap(({ path, isReadOnly }, index) => {
      const drive = `if=none,id=disk${index},file=${path},format=raw,read-only=${isReadOnly ? 'on' : 'off'}`;
      return ['-drive', drive, '-device', `virtio-blk-device,drive=disk${index}`];
    }),
    ...(options.hasPort ? ['-device', JSON.stringify(AGENT_PORT)] : []),
  ];
  const vmm = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = once(vmm, 'exit').then(([code]) => code as number | null);
  onTestFinished(async () => {
    if (vmm.exitCode === null && vmm.signalCode === null) vmm.kill('SIGKILL');
    await exited;
  });
  return { vmm, exited, socket, folder };
}

/** Without the hint an emulated guest now and then waits for ever for a timer while it measures its clock. */
async function hostKhz(): Promise<number> {
  const cpu = await readFile('/proc/cpuinfo', 'utf8');
  const mhz = /^cpu MHz\s*: ([\d.]+)$/m.exec(cpu)?.[1];
  if (mhz === undefined) throw new Error('/proc/cpuinfo has no clock rate');
  return Math.round(Number(mhz) * 1000);
}
