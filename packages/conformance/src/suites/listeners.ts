import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectTarget, ExecProcess, Guest, GuestListener, VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, rejection } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

const ASK_EVERY_MS = 25;
const TARGET = { port: 7100, host: '127.0.0.1' };

/** Sockets in the guest that the host listens on. */
export function registerListeners(fixture: ProviderFixture): void {
  if (!fixture.capabilities.guestAgent) return;
  describe('listeners in the guest', () => {
    test('a program of the guest connects to the host, and each direction has its own end', () =>
      connects(fixture));
    if (fixture.factory.vsockLoopback === true)
      test('a vsock port of the guest is connected to and listened on', () => meetsOnVsock(fixture));
    test('connections wait until they are accepted', () => keepsWaiting(fixture));
    test('a closed one is refused to programs, and what was accepted goes on', () => closes(fixture));
    test('a target that is taken is refused by its errno', () => refusesTaken(fixture));
    test('wrong options, and a signal that has aborted, are refused', () => refusesOptions(fixture));
    if (fixture.capabilities.pause)
      test("one that waits for a pause's end can be aborted", () => abortsInPause(fixture));
    test('the iteration rejects when the guest is gone', () => losesGuest(fixture));
    if (fixture.capabilities.memorySnapshot) {
      test('it listens again after a snapshot', () => outlivesSnapshot(fixture));
      test('a restored guest has none', () => isNotRestored(fixture));
    }
  });
}

interface Listening {
  readonly runtime: VmRuntime;
  readonly vmId: string;
  readonly guest: Guest;
  readonly listener: GuestListener;
  /** The next connection. */
  readonly accept: () => Promise<Duplex>;
}

async function listen(fixture: ProviderFixture): Promise<Listening> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const guest = await runtime.guest(vmId);
  const listener = await guest.listen(TARGET);
  const connections = listener[Symbol.asyncIterator]();
  const accept = async (): Promise<Duplex> => {
    const { value } = (await connections.next()) as { value: Duplex | undefined };
    if (value === undefined) throw new Error('the listener has ended');
    return value;
  };
  return { runtime, vmId, guest, listener, accept };
}

/** Sends its input, and prints what it receives. */
function dial(guest: Guest, input?: string): ExecProcess {
  const { host, port } = TARGET;
  return guest.exec({ argv: ['nc', host, String(port)], ...(input === undefined ? {} : { input }) });
}

async function untilEnd(socket: Duplex): Promise<string> {
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  await once(socket, 'end');
  return text;
}

async function connects(fixture: ProviderFixture): Promise<void> {
  const { guest, accept } = await listen(fixture);
  const program = dial(guest, 'from the guest');
  const socket = await accept();
  expect(await untilEnd(socket)).toBe('from the guest');
  socket.end('from the host');
  expect((await program.result).stdout.toString()).toBe('from the host');
}

/** Both ends are the host's: the bytes go into the guest, over its loopback, and back. */
async function meetsOnVsock(fixture: ProviderFixture): Promise<void> {
  const { guest } = await listen(fixture);
  const vsockPort = 5000;
  await refusal('MICROVM_CONNECT_FAILED', guest.connect({ vsockPort }));
  await using listener = await guest.listen({ vsockPort });
  const caller = await guest.connect({ vsockPort });
  caller.end('question');
  for await (const socket of listener) {
    expect(await untilEnd(socket)).toBe('question');
    socket.end('answer');
    break;
  }
  expect(await untilEnd(caller)).toBe('answer');
}

async function keepsWaiting(fixture: ProviderFixture): Promise<void> {
  const { guest, accept } = await listen(fixture);
  const programs = ['one', 'two', 'three'].map((name) => dial(guest, name));
  const said: string[] = [];
  for (const _ of programs) {
    const socket = await accept();
    said.push(await untilEnd(socket));
    socket.end('answered');
  }
  expect(said.toSorted()).toEqual(['one', 'three', 'two']);
  for (const { result } of programs) expect((await result).stdout.toString()).toBe('answered');
}

async function closes(fixture: ProviderFixture): Promise<void> {
  const { guest, listener, accept } = await listen(fixture);
  const program = dial(guest);
  const socket = await accept();
  await listener.close();
  await guest.ping();
  expect((await dial(guest, '').result).exitCode).not.toBe(0);
  program.stdin.end('still here');
  expect(await untilEnd(socket)).toBe('still here');
  socket.end();
  await program.result;
  expect(await rejection(accept())).toMatchObject({ message: 'the listener has ended' });
  await using again = await guest.listen(TARGET);
  expect(again.target).toEqual(TARGET);
}

async function refusesTaken(fixture: ProviderFixture): Promise<void> {
  const { guest, vmId } = await listen(fixture);
  const { details } = await refusal('MICROVM_CONNECT_FAILED', guest.listen(TARGET));
  expect(details).toMatchObject({ vmId, errno: 'EADDRINUSE' });
}

async function refusesOptions(fixture: ProviderFixture): Promise<void> {
  const { guest } = await listen(fixture);
  for (const wrong of [{}, { port: 0 }, { path: 'relative' }])
    await refusal('MICROVM_INVALID_ARGUMENT', guest.listen(wrong as ConnectTarget));
  await refusal('MICROVM_INVALID_ARGUMENT', guest.listen({ path: '/run/a.sock' }, { mode: 0o1777 }));
  const reason = new Error('not wanted any more');
  const signal = AbortSignal.abort(reason);
  expect(await rejection(guest.listen({ path: '/run/a.sock' }, { signal }))).toBe(reason);
}

async function abortsInPause(fixture: ProviderFixture): Promise<void> {
  const { runtime, vmId, guest } = await listen(fixture);
  await runtime.pauseVm(vmId);
  const reason = new Error('not wanted any more');
  const abort = new AbortController();
  const target = { path: '/run/a.sock' };
  const call = rejection(guest.listen(target, { signal: abort.signal }));
  abort.abort(reason);
  expect(await call).toBe(reason);
  await runtime.resumeVm(vmId);
  await using listener = await guest.listen(target);
  expect(listener.target).toEqual(target);
}

async function losesGuest(fixture: ProviderFixture): Promise<void> {
  const { runtime, vmId, accept } = await listen(fixture);
  const accepted = rejection(accept());
  await runtime.destroyVm(vmId);
  expect(await accepted).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
}

async function outlivesSnapshot(fixture: ProviderFixture): Promise<void> {
  const { runtime, vmId, guest, accept } = await listen(fixture);
  const accepted = accept();
  await runtime.snapshotVm(vmId, 'taken');
  for (;;) {
    const program = dial(guest, 'after it');
    // A program that is refused came before the agent's next session, and ends.
    const socket = await Promise.race([accepted, program.result.then(() => undefined)]);
    if (socket !== undefined) {
      expect(await untilEnd(socket)).toBe('after it');
      socket.end();
      await program.result;
      return;
    }
    await delay(ASK_EVERY_MS);
  }
}

async function isNotRestored(fixture: ProviderFixture): Promise<void> {
  const { runtime, vmId } = await listen(fixture);
  const { snapshotUid } = await runtime.snapshotVm(vmId, 'taken');
  const restored = fixture.newId();
  await runtime.createVmWithSpec(restored, { restoreFrom: { snapshotUid } });
  const guest = await runtime.guest(restored);
  expect((await dial(guest, '').result).exitCode).not.toBe(0);
  await using own = await guest.listen(TARGET);
  const program = dial(guest, 'of the restored');
  for await (const socket of own) {
    expect(await untilEnd(socket)).toBe('of the restored');
    socket.end();
    break;
  }
  await program.result;
}
