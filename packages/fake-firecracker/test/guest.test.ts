import { copyFile, readFile, readlink, stat, truncate } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { PANIC_COMMAND } from '../src/index.js';
import {
  boot,
  bootVm,
  BOOT_ARGS,
  capture,
  clientOf,
  clientOn,
  newFolder,
  outputOf,
  pause,
  restoreFrom,
  resume,
  stageFiles,
  startVmm,
} from './fixture.js';
import { dialGuest, guestsOf, type VmmProcess } from './vmm-process.js';

const PORT_OF_NOBODY = 77;

async function untilGone(pid: number): Promise<void> {
  for (;;) {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (text === undefined || /\) Z /.test(text)) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Answers with the console once it has such a line. */
async function untilConsole(vmm: VmmProcess, line: string | RegExp): Promise<string> {
  for (;;) {
    const { output } = vmm;
    if (typeof line === 'string' ? output.includes(line) : line.test(output)) return output;
    await once(vmm.child.stdout ?? vmm.child, 'data');
  }
}

test('our agent runs programs of the initrd, as root of a system of its own', async () => {
  const vmm = await bootVm();
  const client = await clientOf(vmm);
  expect(await client.ping()).toMatchObject({ epoch: 1, isFrozen: false });
  expect(await outputOf(client, 'id -u; cat /proc/1/comm; hostname; cat /proc/cmdline')).toBe(
    `0\nfake-guest\nmicrovm\n${BOOT_ARGS}`,
  );
  expect(Number(await outputOf(client, 'ls /proc | grep -c "^[0-9]*$"'))).toBeLessThan(8);
  expect(await outputOf(client, 'ip link | grep -c "^[0-9]"')).toBe('1');
  await outputOf(client, 'hostname elsewhere');
  expect(hostname()).not.toBe('elsewhere');
});

test('on the host the guest is nobody, has no capability there and namespaces of its own', async () => {
  const vmm = await bootVm();
  await clientOf(vmm);
  const [guest = 0] = guestsOf(vmm.child.pid ?? 0);
  const status = await readFile(`/proc/${guest}/status`, 'utf8');
  expect(status).toMatch(process.getuid?.() === 0 ? /^Uid:\t65534\t65534/m : /^Uid:/m);
  expect(await readFile(`/proc/${guest}/cmdline`, 'utf8')).toMatch(/^fake-guest\0+$/);
  for (const kind of ['user', 'pid', 'mnt', 'uts', 'net', 'ipc']) {
    const [inside, outside] = await Promise.all([
      readlink(`/proc/${guest}/ns/${kind}`),
      readlink(`/proc/self/ns/${kind}`),
    ]);
    expect(inside).not.toBe(outside);
  }
});

test('a port nobody listens on is closed without a byte', async () => {
  const vmm = await bootVm();
  await clientOf(vmm);
  expect(await dialGuest(join(vmm.directory, 'v.sock'), PORT_OF_NOBODY)).toBe('');
});

test('the agent calls a host that waits for it, once', async () => {
  const directory = await newFolder();
  await stageFiles(directory);
  const vmm = await startVmm(directory);
  const server = createServer().listen(join(directory, 'v.sock_1024'));
  onTestFinished(() => void server.close());
  const called = once(server, 'connection') as Promise<[Socket]>;
  await boot(vmm);
  const [socket] = await called;
  const client = await clientOn(socket);
  expect((await client.ping()).epoch).toBe(1);
});

test('while the VM is paused nothing in the guest goes on, and a new connection gets no answer', async () => {
  const vmm = await bootVm();
  const client = await clientOf(vmm);
  const counting = 'i=0; while :; do i=$((i+1)); echo $i > /run/i; done';
  await outputOf(client, `(${counting}) > /dev/null 2>&1 < /dev/null & until [ -s /run/i ]; do :; done`);
  await pause(vmm);
  const pids = await processesOfGuest(vmm);
  expect(pids.length).toBeGreaterThan(1);
  const times = async (): Promise<string[]> => Promise.all(pids.map(cpuTime));
  const before = await times();
  const dialled = dialGuest(join(vmm.directory, 'v.sock'), 1024);
  await vmm.must('GET', '/');
  await vmm.must('GET', '/');
  expect(await times()).toEqual(before);
  await resume(vmm);
  expect(typeof (await dialled)).toBe('object');
});

/** All processes in the guest's pid namespace, as the host sees them. */
async function processesOfGuest(vmm: VmmProcess): Promise<number[]> {
  const found: number[] = [];
  const queue = guestsOf(vmm.child.pid ?? 0);
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    found.push(pid);
    queue.push(...guestsOf(pid));
  }
  return found;
}

async function cpuTime(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')')).split(' ').slice(12, 14).join(' ');
}

test('a snapshot has the files in their shapes, and the restored guest its files, epoch and clock', async () => {
  const vmm = await bootVm();
  const client = await clientOf(vmm);
  await outputOf(client, 'echo kept > /run/note');
  await client.freeze();
  await client.thaw({ epoch: 7 });
  await pause(vmm);
  await capture(vmm);
  const memory = await stat(join(vmm.directory, 'memory'));
  expect([memory.size, memory.blocks * 512]).toEqual([64 << 20, 64 << 20]);
  expect((await stat(join(vmm.directory, 'state'))).size).toBeGreaterThan(10_000);
  const restored = await restoreFrom(vmm.directory);
  expect(JSON.parse(await restored.must('GET', '/'))).toMatchObject({ state: 'Paused' });
  await resume(restored);
  const other = await clientOf(restored);
  expect(await other.ping()).toMatchObject({ epoch: 7, isFrozen: false });
  expect(await outputOf(other, 'cat /run/note')).toBe('kept');
});

test('a guest that was frozen when it was captured is frozen when it was restored', async () => {
  const vmm = await bootVm();
  await (await clientOf(vmm)).freeze();
  await pause(vmm);
  await capture(vmm);
  const restored = await restoreFrom(vmm.directory);
  await resume(restored);
  const client = await clientOf(restored);
  expect((await client.ping()).isFrozen).toBe(true);
  const early = client.exec({ argv: ['true'], timeoutMs: 200 });
  await expect(early.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_BUSY' });
  await client.thaw({ epoch: 2, wallClockMs: Date.now() + 60_000, entropy: Buffer.alloc(64, 1) });
  expect(await outputOf(client, 'echo runs')).toBe('runs');
  await untilConsole(restored, 'fake-kernel: entropy added: 64 bytes');
  expect(restored.output).toMatch(/fake-kernel: wall clock stepped by \d+ ms/);
});

test('connections of before a snapshot are dead after it', async () => {
  const vmm = await bootVm();
  const client = await clientOf(vmm);
  await client.ping();
  await pause(vmm);
  await capture(vmm);
  await resume(vmm);
  await expect(client.ping()).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
  expect((await (await clientOf(vmm)).ping()).epoch).toBe(1);
});

test('a guest that gets another memory than its own panics', async () => {
  const [vmm, other] = [await bootVm(), await bootVm()];
  for (const each of [vmm, other]) {
    await clientOf(each);
    await pause(each);
    await capture(each);
  }
  await copyFile(join(other.directory, 'memory'), join(vmm.directory, 'memory'));
  const restored = await restoreFrom(vmm.directory);
  await resume(restored).catch(() => undefined);
  expect(await restored.exited).toEqual({ code: 0, signal: null });
  expect(restored.output).toContain('Kernel panic - not syncing');
});

const ENDINGS = [
  ['the agent shuts down', 'poweroff', /farewell power-off/],
  ['a reboot', 'reboot', /farewell reboot/],
  ['a panic', PANIC_COMMAND, /Kernel panic - not syncing: sysrq triggered crash/],
  ['the death of process 1', 'reboot -f', /reboot: Restarting system/],
] as const;

test.each(ENDINGS)('%s ends the VMM with 0, and the console tells', async (_, command, line) => {
  const vmm = await bootVm();
  const client = await clientOf(vmm);
  client.exec({ argv: ['sh', '-c', command] }).result.catch(() => undefined);
  expect(await vmm.exited).toEqual({ code: 0, signal: null });
  expect(vmm.output).toMatch(line);
  expect(vmm.output).toMatch(/Linux version \d/);
});

test('Ctrl-Alt-Del is a shutdown with a farewell, and the sockets stay', async () => {
  const vmm = await bootVm();
  await clientOf(vmm);
  await vmm.must('PUT', '/actions', { action_type: 'SendCtrlAltDel' });
  expect(await vmm.exited).toEqual({ code: 0, signal: null });
  expect(vmm.output).toContain('microvm-agent: farewell shutdown\r\n');
  for (const name of ['api.sock', 'v.sock'])
    expect((await stat(join(vmm.directory, name))).isSocket()).toBe(true);
});

test('a panic without a panic argument stands still, and a power-off without a device does', async () => {
  const cases = [
    ['console=ttyS0', PANIC_COMMAND, 'end Kernel panic - not syncing'],
    ['console=ttyS0', 'poweroff', 'reboot: System halted'],
  ] as const;
  for (const [bootArgs, command, line] of cases) {
    const vmm = await bootVm(bootArgs);
    const client = await clientOf(vmm);
    client.exec({ argv: ['sh', '-c', command] }).result.catch(() => undefined);
    await untilConsole(vmm, line);
    expect(JSON.parse(await vmm.must('GET', '/'))).toMatchObject({ state: 'Running' });
    await pause(vmm);
    await resume(vmm);
  }
});

test('without a console argument nothing of the guest is on the console', async () => {
  const vmm = await bootVm('panic=-1 microvm.poweroff=reboot');
  await clientOf(vmm);
  await vmm.must('PUT', '/actions', { action_type: 'SendCtrlAltDel' });
  await vmm.exited;
  expect(vmm.output).not.toMatch(/farewell|Linux version/);
});

test('an initrd that is none is a panic', async () => {
  const directory = await newFolder();
  await stageFiles(directory);
  await truncate(join(directory, 'initrd'), 100);
  const vmm = await startVmm(directory);
  await boot(vmm);
  await vmm.exited;
  expect(vmm.output).toContain('VFS: Unable to mount root fs on unknown-block(0,0)');
});

test.each(['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const)(
  'a VMM that ends by %s takes its guest along',
  async (signal) => {
    const vmm = await bootVm();
    const client = await clientOf(vmm);
    await outputOf(client, 'sleep 1000 > /dev/null 2>&1 < /dev/null &');
    const pids = await processesOfGuest(vmm);
    vmm.child.kill(signal);
    expect(await vmm.exited).toEqual({ code: null, signal });
    await Promise.all(pids.map(untilGone));
  },
);

test('metrics are lines of what was since the last one', async () => {
  const directory = await newFolder();
  await stageFiles(directory);
  const vmm = await startVmm(directory);
  await vmm.must('PUT', '/metrics', { metrics_path: 'metrics' });
  await boot(vmm);
  await clientOf(vmm);
  for (let i = 0; i < 2; i++) await vmm.must('PUT', '/actions', { action_type: 'FlushMetrics' });
  const lines = (await readFile(join(directory, 'metrics'), 'utf8')).trim().split('\n');
  const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, Record<string, number>>);
  expect(first?.['put_api_requests']).toMatchObject({
    drive_count: 1,
    machine_cfg_count: 1,
    actions_count: 1,
  });
  expect(first?.['vsock']?.['conns_added']).toBe(1);
  expect(second?.['put_api_requests']).toMatchObject({
    drive_count: 0,
    machine_cfg_count: 0,
    actions_count: 1,
  });
  expect(second?.['vsock']?.['conns_added']).toBe(0);
  expect(Object.keys(first ?? {})).toContain('block_root');
});
