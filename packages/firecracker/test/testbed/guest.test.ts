import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { destroyAll } from '@microvm/conformance';
import { outputOf } from '@microvm/conformance/linux-guest';
import { MIB, type Argv, type Guest, type VmRuntime } from '@microvm/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFirecrackerRuntime, probeFirecracker } from '../../src/index.js';
import { imageDefaults } from '../factory.js';

/* What people do in a guest, through the agent of a real guest over the vsock device of a jailed VMM. */

const report = await probeFirecracker();
const reasons = report.findings.filter(({ severity }) => severity === 'error').map(({ message }) => message);
const title = report.usable ? 'the guest of a jailed VM' : `not run: ${reasons.join('; ')}`;
const TIMEOUT_MS = 600_000;
const PORT = 7000;
const LISTENING = `until netstat -ltn | grep -q :${PORT}; do usleep 50000; done`;

const shell = (script: string): Argv => ['sh', '-c', script];

describe.skipIf(!report.usable)(title, { timeout: TIMEOUT_MS }, () => {
  let folder: string;
  let runtime: VmRuntime;
  let guest: Guest;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'firecracker-guest-'));
    runtime = await createFirecrackerRuntime({
      stateDir: join(folder, 'state'),
      defaults: await imageDefaults(),
    });
    await runtime.createVmWithSpec('a', { memSizeMib: 192, vcpuCount: 2 });
    await runtime.startVm('a');
    guest = await runtime.guest('a');
    await outputOf(guest, 'ip link set lo up');
  }, TIMEOUT_MS);
  afterAll(async () => {
    await destroyAll(runtime);
    await runtime.close();
    await rm(folder, { recursive: true });
  }, TIMEOUT_MS);

  it('runs commands as a user, within limits, and names the step of a start that failed', async () => {
    const asUser = { argv: shell('id -u; id -g; ulimit -n; pwd'), user: '1234:5', cwd: '/tmp' } as const;
    const { stdout } = await guest.exec({ ...asUser, rlimits: { openFiles: 99 } }).result;
    expect(stdout.toString()).toBe('1234\n5\n99\n/tmp\n');
    await expect(guest.exec({ argv: ['true'], cwd: '/nowhere' }).result).rejects.toMatchObject({
      code: 'MICROVM_EXEC_FAILED',
      details: { step: 'cwd', errno: 'ENOENT' },
    });
  });

  it('kills a command with all that it started, and keeps what was read of it', async () => {
    const command = guest.exec({ argv: shell('setsid sleep 4321 & echo begun; wait'), timeoutMs: 5000 });
    await expect(command.result).rejects.toMatchObject({
      code: 'MICROVM_TIMEOUT',
      result: { stdout: Buffer.from('begun\n') },
    });
    expect(await outputOf(guest, "ps | grep -c '[s]leep 4321' || true")).toBe('0');
  });

  it('has terminals: lines are edited, Ctrl-C is a signal, and a size can be changed', async () => {
    const command = guest.exec({ argv: ['sh', '-i'], pty: { cols: 80, rows: 24, term: 'vt100' } });
    let shown = '';
    const reading = (async () => {
      for await (const { data } of command) shown += data.toString();
    })();
    const untilShown = (words: RegExp) => expect.poll(() => shown, { timeout: TIMEOUT_MS }).toMatch(words);
    command.stdin.write('stty size; echo $TERM\r');
    await untilShown(/\r\n24 80\r\nvt100\r\n/);
    command.resize({ cols: 132, rows: 50 });
    command.stdin.write('stty size\r');
    await untilShown(/\r\n50 132\r\n/);
    command.stdin.write('sleep 1000\r');
    await untilShown(/sleep 1000\r\n/);
    command.stdin.write('\u0003');
    command.stdin.write('echo still $((6 * 7)); exit 3\r');
    await reading;
    expect(shown).toContain('\r\nstill 42\r\n');
    expect(await command.result).toMatchObject({ exitCode: 3 });
  });

  it('takes connections that need no network, each direction with an end of its own', async () => {
    const server = guest.exec({ argv: ['nc', '-l', '-p', String(PORT)], input: 'from the guest' });
    await outputOf(guest, LISTENING);
    const socket = await guest.connect({ port: PORT });
    let received = '';
    socket.setEncoding('utf8').on('data', (data: string) => (received += data));
    await once(socket, 'end');
    expect(received).toBe('from the guest');
    socket.end('x'.repeat(MIB));
    expect((await server.result).stdout.length).toBe(MIB);
    await expect(guest.connect({ port: 9 })).rejects.toMatchObject({
      code: 'MICROVM_CONNECT_FAILED',
      details: { errno: 'ECONNREFUSED' },
    });
  });

  it('serves a port of the host', async () => {
    const server = guest.exec({ argv: ['nc', '-l', '-p', String(PORT)], input: 'forwarded' });
    await outputOf(guest, LISTENING);
    await using forward = await guest.forward({ guestPort: PORT });
    const socket = dial(forward.port, forward.host);
    socket.end('to the guest');
    expect(await text(socket)).toBe('forwarded');
    expect((await server.result).stdout.toString()).toBe('to the guest');
  });

  it('connects its programs to the host where that listens', async () => {
    const listener = await guest.listen({ path: '/run/host.sock' });
    expect(await outputOf(guest, 'stat -c %a /run/host.sock')).toBe('600');
    await using port = await guest.listen({ port: PORT });
    const program = guest.exec({ argv: ['nc', '127.0.0.1', String(PORT)], input: 'question' });
    for await (const socket of port) {
      socket.end('answer');
      expect(await text(socket)).toBe('question');
      break;
    }
    expect((await program.result).stdout.toString()).toBe('answer');
    await listener.close();
    await guest.ping();
    expect(await outputOf(guest, 'ls /run/host.sock 2>/dev/null || echo gone')).toBe('gone');
  });

  it('lets nobody of the guest become the client of its agent, which listens on vsock there', async () => {
    const agentPort = 1024;
    const socket = await guest.connect({ vsockPort: agentPort });
    socket.on('error', () => undefined);
    let received = 0;
    socket.on('data', (data: Buffer) => (received += data.length));
    await new Promise((resolve) => socket.once('close', resolve).once('end', () => socket.destroy()));
    expect(received).toBe(0);
    await guest.ping();
    // The loopback is there: a port of the host's own is reached by it.
    await using listener = await guest.listen({ vsockPort: 5000 });
    const caller = await guest.connect({ vsockPort: 5000 });
    caller.end('over the loopback');
    for await (const own of listener) {
      expect(await text(own)).toBe('over the loopback');
      break;
    }
  });

  it('has files as Node has them, with the rights of a user', async () => {
    const { files } = guest;
    const content = randomBytes(4 * MIB);
    await files.writeFile('/mnt/root/large', content, { mode: 0o600 });
    expect((await files.readFile('/mnt/root/large')).equals(content)).toBe(true);
    expect(await outputOf(guest, 'sha256sum < /mnt/root/large')).toContain(
      createHash('sha256').update(content).digest('hex'),
    );
    await expect(files.readFile('/mnt/root/large', { user: '1234' })).rejects.toMatchObject({
      code: 'EACCES',
      syscall: 'open',
      path: '/mnt/root/large',
    });
    expect((await files.stat('/mnt/root/large')).mode & 0o777).toBe(0o600);
    await files.rm('/mnt/root/large');
  });

  it('takes a tree of files and gives it back as it was', async () => {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')];
    await mkdir(join(from, 'deep', 'er'), { recursive: true });
    for (let n = 0; n < 20; n += 1) await writeFile(join(from, 'deep', `file-${n}`), `content ${n}`);
    await writeFile(join(from, 'deep', 'er', 'program'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink('../file-3', join(from, 'deep', 'er', 'link'));
    await guest.files.copyIn(from, '/mnt/root/tree');
    expect(await outputOf(guest, 'cat /mnt/root/tree/deep/er/link')).toBe('content 3');
    await guest.files.copyOut('/mnt/root/tree', to);
    const list = async (path: string): Promise<string[]> => (await readdir(path, { recursive: true })).sort();
    expect(await list(to)).toEqual(await list(from));
    expect(await readFile(join(to, 'deep', 'er', 'link'), 'utf8')).toBe('content 3');
    expect((await stat(join(to, 'deep', 'er', 'program'))).mode & 0o777).toBe(0o755);
  });

  it('has an environment for its commands, which can be changed while it runs', async () => {
    await runtime.setEnv('a', { GREETING: 'hello', UNWANTED: 'x' });
    await runtime.setEnv('a', { UNWANTED: null });
    expect(await outputOf(guest, 'echo $GREETING $UNWANTED')).toBe('hello');
  });

  it('keeps a secret in memory, and no snapshot takes it unasked', async () => {
    await runtime.setSecret('a', 'token', 'open sesame');
    expect(await outputOf(guest, 'stat -c %a /run/secrets/token; cat /run/secrets/token')).toBe(
      '600\nopen sesame',
    );
    await expect(runtime.snapshotVm('a', 'with-secret')).rejects.toMatchObject({
      code: 'MICROVM_SECRETS_PRESENT',
      details: { names: ['token'] },
    });
    await runtime.deleteSecret('a', 'token');
    expect(await outputOf(guest, 'ls /run/secrets')).toBe('');
  });

  it('lets a command run without a reader, who comes later by its id', async () => {
    const { id } = await guest.exec({ argv: ['sh', '-c', 'echo begun; cat'], detached: true });
    expect(await guest.commands()).toMatchObject([{ id, state: 'running', isDetached: true }]);
    const reader = guest.attach(id, { input: 'of a later reader' });
    expect(await reader.result).toMatchObject({
      exitCode: 0,
      stdout: Buffer.from('begun\nof a later reader'),
    });
    expect(await guest.commands()).toEqual([]);
  });

  it('goes on with a large output behind a snapshot, which cuts its connections', async () => {
    const bytes = 8 * MIB;
    const script = `i=0; while [ $i -lt ${bytes / 1024} ]; do printf "%01023d\\n" $i; i=$((i + 1)); done`;
    const command = guest.exec({ argv: shell(script), input: '' });
    let next = 0;
    let rest = '';
    let taken: Promise<unknown> | undefined;
    for await (const { data } of command) {
      rest += data.toString();
      for (; rest.length >= 1024; rest = rest.slice(1024)) {
        expect(Number(rest.slice(0, 1023))).toBe(next);
        next += 1;
      }
      if (next > 100) taken ??= runtime.snapshotVm('a', 'in-the-midst');
    }
    expect(next).toBe(bytes / 1024);
    await taken;
    expect(await command.result).toMatchObject({ exitCode: 0 });
    await runtime.deleteSnapshot({ vmId: 'a', snapshotId: 'in-the-midst' });
  });

  it('tells its memory, processors and disks', async () => {
    const { memory, cpu, fileSystems } = await guest.metrics();
    expect(memory.totalBytes).toBeGreaterThan(96 * MIB);
    expect(memory.totalBytes).toBeLessThan(192 * MIB);
    expect(cpu.count).toBe(2);
    expect(fileSystems.map(({ path }) => path)).toContain('/mnt/root');
  });

  it('has in three clones of one snapshot streams that are each its own', async () => {
    const { snapshotUid } = await runtime.snapshotVm('a', 'warm');
    const clones = ['one', 'two', 'three'];
    await Promise.all(clones.map((vmId) => runtime.createVmWithSpec(vmId, { restoreFrom: { snapshotUid } })));
    const talks = await Promise.all(
      clones.map(async (vmId) => {
        const clone = await runtime.guest(vmId);
        const echo = clone.exec({ argv: ['cat'] });
        const server = clone.exec({ argv: ['nc', '-l', '-p', String(PORT)], input: `of ${vmId}` });
        await outputOf(clone, LISTENING);
        const socket = await clone.connect({ port: PORT });
        return { vmId, echo, server, socket };
      }),
    );
    // All are open at once; only then is anything said.
    for (const { vmId, echo, server, socket } of talks) {
      echo.stdin.end(`typed in ${vmId}`);
      socket.end(`sent to ${vmId}`);
      expect(await text(socket)).toBe(`of ${vmId}`);
      expect((await server.result).stdout.toString()).toBe(`sent to ${vmId}`);
      expect((await echo.result).stdout.toString()).toBe(`typed in ${vmId}`);
    }
    const ids = await Promise.all(
      clones.map(async (vmId) => outputOf(await runtime.guest(vmId), 'cat /etc/machine-id')),
    );
    expect(new Set(ids).size).toBe(3);
    for (const vmId of clones) await runtime.destroyVm(vmId);
  });

  it('ends a command, and says so, when its VM is destroyed', async () => {
    const command = guest.exec({ argv: ['sleep', '1000'] });
    const ended = expect(command.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    await runtime.destroyVm('a');
    await ended;
  });
});
