import { once } from 'node:events';
import { connect as dial } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isVmRuntimeError } from '@microvm/runtime';
import type { ConnectTarget, ExecProcess, Guest, VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, rejection } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

const PORT = 7000;
const SILENT_PORT = 7001;
/** A program listens at some time after its start. */
const ASK_EVERY_MS = 25;

/** Connections to sockets in the guest, and ports of the host that are forwarded to them. */
export function registerConnections(fixture: ProviderFixture): void {
  if (!fixture.capabilities.guestAgent) return;
  describe('connections to the guest', () => {
    test('one carries bytes as they are, both ways', () => carriesBothWays(fixture));
    test('the guest may end what it sends before the host does', () => halfCloses(fixture));
    test('one that the host destroys is reset in the guest', () => resetsGuest(fixture));
    test('one that the guest resets ends with ECONNRESET', () => isReset(fixture));
    test('a port on which nobody listens, and a path that is not there, are refused by their errno', () =>
      refusesTargets(fixture));
    test("a signal that has aborted is the call's reason", () => isAbortedBefore(fixture));
    test('one whose guest dies ends with an error that has a code', () => losesGuest(fixture));
    if (fixture.capabilities.pause) {
      test('a pause holds one up, and it goes on afterwards', () => outlivesPause(fixture));
      test("one that waits for a pause's end can be aborted", () => abortsInPause(fixture));
    }
    if (fixture.capabilities.memorySnapshot)
      test('a snapshot ends one with an error that has a code, or not at all', () => meetsSnapshot(fixture));
  });
  describe('forwarded ports', () => {
    test('one listens on 127.0.0.1, and says which port the kernel has chosen', () => forwards(fixture));
    test('one closes with its VM', () => closesWithVm(fixture));
    test('a host port that is taken is refused', () => refusesTakenPort(fixture));
    test('wrong options are refused', () => refusesOptions(fixture));
  });
}

interface Running {
  readonly runtime: VmRuntime;
  readonly vmId: string;
  readonly guest: Guest;
}

async function run(fixture: ProviderFixture): Promise<Running> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  return { runtime, vmId, guest: await runtime.guest(vmId) };
}

/**
 * A program that takes one connection to the port: it sends its input and its input's end, prints what it
 * receives, and ends with the end of what it receives.
 */
function listen(guest: Guest): ExecProcess {
  return guest.exec({ argv: ['nc', '-l', '-p', String(PORT)] });
}

/** Asks again until the program listens; rejects when the program ends before. */
async function connectTo(guest: Guest, program: ExecProcess): Promise<Duplex> {
  const ended = program.result.then(({ exitCode, stderr }) => {
    throw new Error(`the listener ended with ${exitCode}: ${stderr.toString()}`);
  });
  for (;;) {
    try {
      const socket = await Promise.race([guest.connect({ port: PORT }), ended]);
      ended.catch(() => undefined); // From here on its end is what the test is about.
      return socket;
    } catch (error) {
      const isEarly = isVmRuntimeError(error, 'MICROVM_CONNECT_FAILED');
      if (!isEarly || error.details.errno !== 'ECONNREFUSED') throw error;
      await delay(ASK_EVERY_MS);
    }
  }
}

async function connect(
  fixture: ProviderFixture,
): Promise<Running & { socket: Duplex; program: ExecProcess }> {
  const running = await run(fixture);
  const program = listen(running.guest);
  return { ...running, program, socket: await connectTo(running.guest, program) };
}

/** Not by a loop, whose end would destroy the other direction too. */
async function untilEnd(stream: Readable): Promise<Buffer> {
  const pieces: Buffer[] = [];
  stream.on('data', (data: Buffer) => pieces.push(data));
  await once(stream, 'end');
  return Buffer.concat(pieces);
}

function untilError(socket: Duplex): Promise<unknown> {
  return new Promise((resolve) => socket.once('error', resolve).resume());
}

async function carriesBothWays(fixture: ProviderFixture): Promise<void> {
  const { socket, program } = await connect(fixture);
  const sent = Buffer.from([0, 255, 10, 13, 0]);
  program.stdin.write(sent);
  const [received] = (await once(socket, 'data')) as [Buffer];
  expect(received).toEqual(sent);
  socket.end(sent);
  expect(await program.result).toMatchObject({ exitCode: 0, stdout: sent });
}

async function halfCloses(fixture: ProviderFixture): Promise<void> {
  const { socket, program } = await connect(fixture);
  program.stdin.end('all there is');
  expect((await untilEnd(socket)).toString()).toBe('all there is');
  socket.write('late');
  await expect.poll(() => program.collected.stdout.toString()).toBe('late');
  const closed = once(socket, 'close');
  socket.end();
  expect(await program.result).toMatchObject({ exitCode: 0 });
  await closed;
}

async function resetsGuest(fixture: ProviderFixture): Promise<void> {
  const { socket, program, guest } = await connect(fixture);
  socket.destroy();
  await program.result;
  await guest.ping();
}

/** A program that is killed before it has read what came resets its connection. */
async function isReset(fixture: ProviderFixture): Promise<void> {
  const { socket, program, guest } = await connect(fixture);
  const failed = untilError(socket);
  await program.kill('SIGSTOP');
  socket.write('unread');
  // Whatever came before a command ran has arrived.
  await guest.exec({ argv: ['true'], input: '' }).result;
  await program.kill('SIGKILL');
  expect(await failed).toMatchObject({ code: 'ECONNRESET' });
}

async function refusesTargets(fixture: ProviderFixture): Promise<void> {
  const { guest, vmId } = await run(fixture);
  const cases: readonly [ConnectTarget, string][] = [
    [{ port: SILENT_PORT }, 'ECONNREFUSED'],
    [{ path: '/no/such/socket' }, 'ENOENT'],
  ];
  for (const [target, errno] of cases) {
    const { details } = await refusal('MICROVM_CONNECT_FAILED', guest.connect(target));
    expect(details).toMatchObject({ vmId, errno });
  }
  for (const wrong of [{}, { port: 0 }, { port: PORT, host: 'example.org' }, { path: 'relative' }])
    await refusal('MICROVM_INVALID_ARGUMENT', guest.connect(wrong as ConnectTarget));
}

async function isAbortedBefore(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const reason = new Error('not wanted any more');
  const signal = AbortSignal.abort(reason);
  expect(await rejection(guest.connect({ port: SILENT_PORT }, { signal }))).toBe(reason);
  await guest.ping();
}

async function abortsInPause(fixture: ProviderFixture): Promise<void> {
  const { guest, runtime, vmId } = await run(fixture);
  await runtime.pauseVm(vmId);
  const reason = new Error('not wanted any more');
  const abort = new AbortController();
  const call = rejection(guest.connect({ port: SILENT_PORT }, { signal: abort.signal }));
  abort.abort(reason);
  expect(await call).toBe(reason);
  await runtime.resumeVm(vmId);
  await guest.ping();
}

async function losesGuest(fixture: ProviderFixture): Promise<void> {
  const { socket, runtime, vmId, program } = await connect(fixture);
  const failed = untilError(socket);
  program.result.catch(() => undefined);
  await fixture.factory.endGuest(runtime, vmId, 'kill-vmm');
  expect(await failed).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
  await fixture.untilState(runtime, vmId, 'crashed');
}

async function outlivesPause(fixture: ProviderFixture): Promise<void> {
  const { socket, runtime, vmId, program } = await connect(fixture);
  await runtime.pauseVm(vmId);
  socket.end('during');
  await runtime.resumeVm(vmId);
  expect((await program.result).stdout.toString()).toBe('during');
}

async function meetsSnapshot(fixture: ProviderFixture): Promise<void> {
  const { socket, runtime, vmId, program, guest } = await connect(fixture);
  program.result.catch(() => undefined);
  const ended = Promise.race([untilError(socket), once(socket, 'end')]);
  await runtime.snapshotVm(vmId, 'taken');
  // Where the snapshot has kept the connection, the guest ends it for its own reasons now.
  socket.end();
  const outcome = await ended;
  if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
  const next = listen(guest);
  const again = await connectTo(guest, next);
  again.end('after it');
  expect((await next.result).stdout.toString()).toBe('after it');
}

async function forwards(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const program = listen(guest);
  await using forward = await guest.forward({ guestPort: PORT });
  expect(forward).toMatchObject({ host: '127.0.0.1' });
  expect(forward.port).toBeGreaterThan(0);
  program.stdin.end('from the guest');
  for (;;) {
    const socket = dial({ ...forward, allowHalfOpen: true });
    const received = await untilEnd(socket).catch(() => Buffer.alloc(0));
    if (received.length > 0) {
      expect(received.toString()).toBe('from the guest');
      socket.end('from the host');
      break;
    }
    // The program did not listen yet: the guest's refusal is a reset here.
    await delay(ASK_EVERY_MS);
  }
  expect((await program.result).stdout.toString()).toBe('from the host');
  await forward.close();
  expect(await dialError(forward.port)).toMatchObject({ code: 'ECONNREFUSED' });
}

async function dialError(port: number): Promise<unknown> {
  return rejection(once(dial({ host: '127.0.0.1', port }), 'connect'));
}

async function closesWithVm(fixture: ProviderFixture): Promise<void> {
  const { guest, runtime, vmId } = await run(fixture);
  const { port } = await guest.forward({ guestPort: PORT });
  await runtime.destroyVm(vmId);
  expect(await dialError(port)).toMatchObject({ code: 'ECONNREFUSED' });
  await refusal('MICROVM_GUEST_UNREACHABLE', guest.forward({ guestPort: PORT }));
}

async function refusesTakenPort(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  await using forward = await guest.forward({ guestPort: PORT });
  const taken = guest.forward({ guestPort: PORT, hostPort: forward.port });
  expect((await refusal('MICROVM_HOST_FAILURE', taken)).details).toEqual({
    operation: 'forward',
    errno: 'EADDRINUSE',
  });
}

async function refusesOptions(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const wrong = [
    {},
    { guestPort: PORT, guestPath: '/run/a.sock' },
    { guestPort: 0 },
    { guestPath: 'relative' },
    { guestPort: PORT, hostPort: 65_536 },
    { guestPort: PORT, host: 'example.org' },
  ];
  for (const options of wrong) await refusal('MICROVM_INVALID_ARGUMENT', guest.forward(options));
}
