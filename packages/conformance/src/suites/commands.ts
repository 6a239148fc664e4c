import { createHash } from 'node:crypto';
import type { ExecChunk, Guest, GuestCommand, VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, rejection } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

/** What the guest keeps of each output of a command that nobody reads. */
const RING_BYTES = 256 * 1024;
/** More than all that is under way between a command and its reader at one moment. */
const LARGE_BYTES = 8 << 20;
const PIECE_BYTES = 32 * 1024;

/** Commands that outlive their reader: `cat` is all that a guest needs for them. */
export function registerCommands(fixture: ProviderFixture): void {
  if (!fixture.capabilities.guestAgent) return;
  describe('commands that outlive their reader', () => {
    test('a detached command runs without a reader, and is listed', () => runsDetached(fixture));
    test('one is read by its id, left, and read on from where it was left', () => readsOn(fixture));
    test('output beyond what the guest keeps is told as missing', () => tellsGap(fixture));
    test('one is killed by its id, and how it ended is kept until it is read', () => killsById(fixture));
    test('there is one reader at a time', () => hasOneReader(fixture));
    test('a reader that is aborted leaves the command alone', () => leavesByAbort(fixture));
    test('a command that does not exist cannot be read, and wrong ids are refused', () =>
      refusesIds(fixture));
    if (fixture.capabilities.pause) {
      test('a pause in the midst of a large output loses nothing', () => outlivesPause(fixture));
    }
    if (fixture.capabilities.memorySnapshot) {
      test('a snapshot in the midst of a large output loses nothing, and nothing comes twice', () =>
        outlivesSnapshots(fixture));
    }
    registerContinued(fixture);
  });
}

function registerContinued(fixture: ProviderFixture): void {
  const { keepsCommands = true, restoresCommands = true } = fixture.factory;
  if (fixture.capabilities.memorySnapshot && restoresCommands) {
    test('what ran in the source of a restored VM is listed there, and can be read there', () =>
      goesOnInRestored(fixture));
  }
  if (fixture.capabilities.adoption && fixture.isDurable && keepsCommands) {
    test('the next owner of a VM reads on where the one before has stopped', () => goesOnUnderNext(fixture));
  }
}

async function run(
  fixture: ProviderFixture,
): Promise<{ readonly runtime: VmRuntime; readonly vmId: string; readonly guest: Guest }> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  return { runtime, vmId, guest: await runtime.guest(vmId) };
}

const startCat = (guest: Guest) => guest.exec({ argv: ['cat'], detached: true });

async function find(guest: Guest, id: string): Promise<GuestCommand | undefined> {
  return (await guest.commands()).find((command) => command.id === id);
}

/** Reads until this text has come; the iterator goes on from there. */
async function readText(reading: AsyncIterator<ExecChunk>, text: string): Promise<void> {
  let read = '';
  while (read.length < text.length) {
    const next = await reading.next();
    if (next.done === true) break;
    read += next.value.data.toString();
  }
  expect(read).toBe(text);
}

async function runsDetached(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const { id } = await guest.exec({ argv: ['cat'], detached: true, input: 'kept' });
  const bytes = { from: 0, to: 4 };
  const kept = { stdout: bytes, stderr: { from: 0, to: 0 } };
  const ended = { command: 'cat', state: 'ended', pid: null, exitCode: 0, signal: null, kept };
  await fixture.eventually(async () =>
    expect(await find(guest, id)).toMatchObject({ ...ended, isDetached: true, hasReader: false }),
  );
  expect(await guest.attach(id).result).toEqual({
    exitCode: 0,
    signal: null,
    stdout: Buffer.from('kept'),
    stderr: Buffer.alloc(0),
    missingBytes: { stdout: 0, stderr: 0 },
  });
  await fixture.eventually(async () => expect(await find(guest, id)).toBeUndefined());
}

async function readsOn(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const command = await startCat(guest);
  const first = command.attach();
  first.stdin.write('first');
  await readText(first[Symbol.asyncIterator](), 'first');
  const from = await first.detach();
  expect(from).toEqual({ stdout: 5, stderr: 0 });
  expect((await refusal('MICROVM_EXEC_FAILED', first.result)).details).toMatchObject({ step: 'detach' });
  const second = guest.attach(command.id, { from });
  second.stdin.end('second');
  expect(await second.result).toMatchObject({ exitCode: 0, stdout: Buffer.from('second') });
}

async function tellsGap(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const input = largeData(RING_BYTES + 100_000);
  const { id } = await guest.exec({ argv: ['cat'], detached: true, input });
  await fixture.eventually(async () => expect(await find(guest, id)).toMatchObject({ state: 'ended' }));
  const { stdout, missingBytes } = await guest.attach(id).result;
  expect(missingBytes).toEqual({ stdout: 100_000, stderr: 0 });
  expect(digest(stdout)).toBe(digest(input.subarray(100_000)));
}

async function killsById(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const { id } = await startCat(guest);
  await guest.kill(id, 'SIGKILL');
  await fixture.eventually(async () =>
    expect(await find(guest, id)).toMatchObject({ state: 'ended', exitCode: null, signal: 'SIGKILL' }),
  );
  await guest.kill(id);
  expect(await guest.attach(id).result).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
}

async function hasOneReader(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const process = guest.exec({ argv: ['cat'] });
  await fixture.eventually(async () =>
    expect(await find(guest, process.id)).toMatchObject({ hasReader: true, isDetached: false }),
  );
  await refusal('MICROVM_GUEST_BUSY', guest.attach(process.id).result);
  process.stdin.end('still read');
  expect((await process.result).stdout.toString()).toBe('still read');
}

async function leavesByAbort(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const { id } = await startCat(guest);
  const abort = new AbortController();
  const aborted = guest.attach(id, { signal: abort.signal });
  const ended = rejection(aborted.result);
  await fixture.eventually(async () => expect(await find(guest, id)).toMatchObject({ hasReader: true }));
  const reason = new Error('not wanted any more');
  abort.abort(reason);
  expect(await ended).toBe(reason);
  const timed = guest.attach(id, { timeoutMs: 50 });
  await refusal('MICROVM_TIMEOUT', timed.result);
  expect(await find(guest, id)).toMatchObject({ state: 'running', hasReader: false });
}

async function refusesIds(fixture: ProviderFixture): Promise<void> {
  const { guest } = await run(fixture);
  const error = await refusal('MICROVM_EXEC_FAILED', guest.attach('0123456789abcdef').result);
  expect(error.details).toMatchObject({ step: 'attach', errno: 'ESRCH' });
  for (const id of ['', 'cat', '0000000000000000', '0123456789ABCDEF']) {
    await refusal('MICROVM_INVALID_ARGUMENT', (async () => guest.attach(id).result)());
    await refusal('MICROVM_INVALID_ARGUMENT', guest.kill(id));
  }
}

function digest(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** No two pieces of it are alike, so a piece that is lost, or comes twice, changes its digest. */
function largeData(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) data.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return data;
}

/** Sends data through `cat`, and in its midst lets something happen to the VM, more than once. */
async function throughCat(guest: Guest, meanwhile: readonly (() => Promise<unknown>)[]): Promise<void> {
  const data = largeData(LARGE_BYTES);
  const process = guest.exec({ argv: ['cat'] });
  process.stdin.end(data);
  const hash = createHash('sha256');
  let bytes = 0;
  const acts = [...meanwhile];
  const happening: Promise<unknown>[] = [];
  for await (const chunk of process) {
    expect(chunk).toMatchObject({ stream: 'stdout', offset: bytes, missingBytes: 0 });
    hash.update(chunk.data);
    bytes += chunk.data.length;
    const isDue = bytes > (LARGE_BYTES / (meanwhile.length + 1)) * (meanwhile.length - acts.length + 1);
    // Not awaited: the reader reads on while it happens.
    const act = isDue ? acts.shift() : undefined;
    if (act !== undefined) happening.push(happening.at(-1)?.then(act) ?? act());
    if (bytes % PIECE_BYTES === 0) await new Promise(setImmediate);
  }
  await Promise.all(happening);
  expect(bytes).toBe(LARGE_BYTES);
  expect(hash.digest('hex')).toBe(digest(data));
  expect(happening).toHaveLength(meanwhile.length);
  expect(await process.result).toMatchObject({ exitCode: 0 });
}

async function outlivesPause(fixture: ProviderFixture): Promise<void> {
  const { runtime, vmId, guest } = await run(fixture);
  await throughCat(guest, [
    async () => {
      await runtime.pauseVm(vmId);
      await runtime.resumeVm(vmId);
    },
  ]);
}

async function outlivesSnapshots(fixture: ProviderFixture): Promise<void> {
  const { runtime, vmId, guest } = await run(fixture);
  await throughCat(
    guest,
    ['first', 'second'].map((name) => () => runtime.snapshotVm(vmId, name)),
  );
}

async function goesOnInRestored(fixture: ProviderFixture): Promise<void> {
  const { runtime, vmId, guest } = await run(fixture);
  const detached = await startCat(guest);
  const process = detached.attach();
  const reading = process[Symbol.asyncIterator]();
  process.stdin.write('before');
  await readText(reading, 'before');
  const { snapshotUid } = await runtime.snapshotVm(vmId, 'taken');
  const restored = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { snapshotUid } });
  const clone = await runtime.guest(restored.vmId);
  // The reader of the source does not exist in the restored VM, and goes on in the source.
  await fixture.eventually(async () =>
    expect(await find(clone, detached.id)).toMatchObject({ state: 'running', hasReader: false }),
  );
  await fixture.eventually(async () =>
    expect(await find(guest, detached.id)).toMatchObject({ hasReader: true }),
  );
  const other = clone.attach(detached.id);
  other.stdin.end(' and after');
  expect((await other.result).stdout.toString()).toBe('before and after');
  process.stdin.end('source');
  await readText(reading, 'source');
  expect(await reading.next()).toMatchObject({ done: true });
}

async function goesOnUnderNext(fixture: ProviderFixture): Promise<void> {
  const { vmId, guest } = await run(fixture);
  const process = guest.exec({ argv: ['cat'] });
  process.stdin.write('one');
  await readText(process[Symbol.asyncIterator](), 'one');
  const { id, offsets } = process;
  process.result.catch(() => undefined);
  const next = await (await fixture.reopen()).guest(vmId);
  const second = next.attach(id, { from: offsets });
  second.stdin.end('two');
  expect(await second.result).toMatchObject({ exitCode: 0, stdout: Buffer.from('two') });
}
