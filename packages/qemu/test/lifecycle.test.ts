import { setTimeout as delay } from 'node:timers/promises';
import { useSharedRuntime } from '@microvm/conformance';
import { outputOf, readCounter } from '@microvm/conformance/linux-guest';
import { isVmRuntimeError, MIB, type ConsoleOptions } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { qemuFactory } from './factory.js';
import { openForTest } from './open-runtime.js';

async function readConsole(console: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of console) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a VM', () => {
  it('boots, runs commands, keeps its disk over a stop, and its console over its death', async () => {
    const runtime = await openForTest();
    await runtime.createVm('a');
    expect((await runtime.startVm('a')).vmm?.pid).toBeGreaterThan(0);
    const guest = await runtime.guest('a');
    expect(await outputOf(guest, 'echo $((6 * 7)); uname -s')).toBe('42\nLinux');
    await outputOf(guest, 'echo kept > /mnt/root/note');
    const stopped = await runtime.stopVm('a');
    expect(stopped).toMatchObject({
      state: 'stopped',
      stop: 'graceful',
      ending: { reason: 'shutdown', exitCode: 0 },
    });
    expect(await readConsole(runtime.consoleVm('a'))).toMatch(/Linux version[^]*farewell shutdown/);
    await runtime.snapshotVm('a', 'disk');
    const restored = await runtime.createVmWithSpec('b', { restoreFrom: { vmId: 'a', snapshotId: 'disk' } });
    expect(restored.state).toBe('created');
    await runtime.startVm('b');
    expect(await outputOf(await runtime.guest('b'), 'cat /mnt/root/note')).toBe('kept');
  });

  it('says what its kernel counts: of the memory, processors and disks that its spec gives it', async () => {
    const runtime = await openForTest();
    await runtime.createVmWithSpec('a', { memSizeMib: 192, vcpuCount: 2 });
    await runtime.startVm('a');
    const guest = await runtime.guest('a');
    await outputOf(guest, 'dd if=/dev/zero of=/mnt/root/fill bs=1M count=3; sync');
    const { uptimeMs, memory, cpu, processCount, fileSystems, disks } = await guest.metrics();
    expect(uptimeMs).toBeGreaterThan(0);
    expect(memory.totalBytes).toBeGreaterThan(96 * MIB);
    expect(memory.totalBytes).toBeLessThan(192 * MIB);
    expect(memory.availableBytes).toBeLessThan(memory.totalBytes);
    expect(cpu.count).toBe(2);
    expect(cpu.userUs + cpu.systemUs).toBeGreaterThan(0);
    expect(processCount).toBeGreaterThan(1);
    const [disk] = fileSystems;
    expect(disk).toMatchObject({ path: '/mnt/root', type: 'ext4' });
    const used = await outputOf(guest, "df -k /mnt/root | tail -1 | awk '{ print $2 * 1024 }'");
    expect(disk?.totalBytes).toBe(Number(used));
    expect(disks.find(({ name }) => name === 'vda')?.writtenBytes).toBeGreaterThan(3 * MIB);
  });

  it('is ready at its first output where there is no agent, and is ended by force when it does not listen', async () => {
    const runtime = await openForTest();
    await runtime.createVmWithSpec('mute', { agent: 'none', shutdownTimeoutMs: 200 });
    await runtime.startVm('mute');
    expect(await readConsole(runtime.consoleVm('mute'))).not.toBe('');
    const error = await runtime.guest('mute').catch((thrown: unknown) => thrown);
    expect(isVmRuntimeError(error, 'MICROVM_UNSUPPORTED')).toBe(true);
    const stopped = await runtime.stopVm('mute');
    expect(stopped).toMatchObject({ state: 'stopped', stop: 'forced', ending: { reason: 'killed' } });
  });
});

describe('a command', () => {
  it('is killed with all that it started, also what called setsid', async () => {
    const runtime = await openForTest();
    await runtime.createVm('a');
    await runtime.startVm('a');
    const guest = await runtime.guest('a');
    const command = guest.exec({ argv: ['sh', '-c', 'setsid sleep 1234 & echo begun; wait'] });
    const output = command[Symbol.asyncIterator]();
    await output.next();
    const strays = (): Promise<string> => outputOf(guest, 'ps | grep -c "[s]leep 1234" || true');
    // The shell, whose arguments say so too, and its child.
    expect(await strays()).toBe('2');
    await command.kill('SIGKILL');
    await output.next();
    await expect.poll(strays).toBe('0');
  });
});

describe('a restored VM', () => {
  const shared = useSharedRuntime(qemuFactory);

  it('stands still while it is paused and then knows what time it is', async () => {
    const { vmId, guest } = await shared.restore();
    await shared.runtime.pauseVm(vmId);
    // The time that passes is what this is about.
    await delay(2500);
    await shared.runtime.resumeVm(vmId);
    const seconds = Number(await outputOf(guest, 'date +%s'));
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(2);
    const count = await readCounter(guest);
    await expect.poll(() => readCounter(guest)).toBeGreaterThan(count);
  });

  it('can be paused and captured twice without running in between', async () => {
    const { vmId, guest } = await shared.restore();
    await shared.runtime.pauseVm(vmId);
    await shared.runtime.snapshotVm(vmId, 'one');
    await shared.runtime.snapshotVm(vmId, 'two');
    expect((await shared.runtime.getVm(vmId))?.state).toBe('paused');
    await shared.runtime.resumeVm(vmId);
    const count = await readCounter(guest);
    for (const snapshotId of ['one', 'two']) {
      const copyId = `${vmId}-${snapshotId}`;
      await shared.runtime.createVmWithSpec(copyId, { restoreFrom: { vmId, snapshotId } });
      expect(await readCounter(await shared.runtime.guest(copyId))).toBeGreaterThan(0);
    }
    await expect.poll(() => readCounter(guest)).toBeGreaterThan(count);
  });

  it('goes on from where it was, as often as wanted, each with a clock, entropy and identity of its own', async () => {
    const [a, b] = await Promise.all([shared.restore(), shared.restore()]);
    for (const { vmId, guest } of [a, b]) {
      expect(await readCounter(guest)).toBeGreaterThanOrEqual(shared.count);
      expect((await guest.ping()).epoch).toBe(2);
      const seconds = Number(await outputOf(guest, 'date +%s'));
      expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(2);
      const view = await shared.runtime.getVm(vmId);
      expect(await outputOf(guest, 'cat /etc/machine-id')).toBe(view?.instanceId);
    }
    const random = 'head -c 16 /dev/urandom | od -An -tx1';
    expect(await outputOf(a.guest, random)).not.toBe(await outputOf(b.guest, random));
  });

  it('can be captured itself, and so on: each form of memory gives the other', async () => {
    let { vmId, guest } = await shared.restore();
    let count = await readCounter(guest);
    for (const snapshotId of ['second', 'third']) {
      await shared.runtime.snapshotVm(vmId, snapshotId);
      const nextId = shared.newId();
      await shared.runtime.createVmWithSpec(nextId, { restoreFrom: { vmId, snapshotId } });
      [vmId, guest] = [nextId, await shared.runtime.guest(nextId)];
      const next = await readCounter(guest);
      expect(next).toBeGreaterThanOrEqual(count);
      count = next;
      await expect.poll(() => readCounter(guest)).toBeGreaterThan(count);
    }
  });

  it('runs on while another that came from it is destroyed, and leaves the snapshot as it was', async () => {
    const [a, b] = await Promise.all([shared.restore(), shared.restore()]);
    await outputOf(a.guest, 'dd if=/dev/urandom of=/run/junk bs=1M count=8');
    await shared.runtime.destroyVm(a.vmId);
    const count = await readCounter(b.guest);
    await expect.poll(() => readCounter(b.guest)).toBeGreaterThan(count);
    await shared.runtime.verifySnapshot({ snapshotUid: shared.snapshotUid });
  });

  it('has a console of its own, bounded while its guest floods it', async () => {
    const { vmId, guest } = await shared.restore({ consoleLimitBytes: 8192 });
    await outputOf(guest, 'seq 1 6000 > /dev/console');
    const read = (options?: ConsoleOptions): Promise<string> =>
      readConsole(shared.runtime.consoleVm(vmId, options));
    // The command has ended when the terminal has taken what it wrote; the serial port sends on, and the
    // kernel may add a line of its own.
    await expect.poll(() => read()).toMatch(/\n6000\r?\n/);
    expect((await read()).length).toBeLessThanOrEqual(2 * 8192);
    await expect.poll(async () => (await read()).endsWith(await read({ tailBytes: 6 }))).toBe(true);
    expect(await read({ tailBytes: 6 })).toHaveLength(6);
  });
});
