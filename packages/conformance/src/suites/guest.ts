import { setTimeout as delay } from 'node:timers/promises';
import type { ConsoleOptions, ExecRequest, Guest, VmRuntime, VmState } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { readAll } from '../calls.js';
import { refusal, rejection, viewOf } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

/** So that a snapshot finds commands at each of its steps. */
const ASK_EVERY_MS = 25;

/** The agent in the guest, and the guest's console. */
export function registerGuest(fixture: ProviderFixture): void {
  if (fixture.capabilities.guestAgent) describe('the guest', () => registerAgent(fixture));
  if (fixture.capabilities.console) describe('the console', () => registerConsole(fixture));
}

function registerAgent(fixture: ProviderFixture): void {
  test('it answers a ping, and says who it is', async () => {
    const { vmId } = await fixture.arrange('running');
    const info = await (await (await fixture.open()).guest(vmId)).ping();
    expect(info.agentVersion).not.toBe('');
    expect(info.kernelRelease).not.toBe('');
    expect(Number.isInteger(info.epoch)).toBe(true);
  });
  test('it tells memory, load, processors and processes of its guest', async () => {
    const { vmId } = await fixture.arrange('running');
    const { load, cpu, memory, fileSystems, disks } = await (
      await (await fixture.open()).guest(vmId)
    ).metrics();
    expect(load).toHaveLength(3);
    expect(cpu.count).toBeGreaterThan(0);
    expect(memory.totalBytes).toBeGreaterThan(0);
    expect(memory.availableBytes).toBeLessThanOrEqual(memory.totalBytes);
    for (const { totalBytes, freeBytes } of fileSystems) expect(freeBytes).toBeLessThanOrEqual(totalBytes);
    expect(new Set(disks.map(({ name }) => name)).size).toBe(disks.length);
  });
  for (const state of ['created', 'paused', 'stopped', 'crashed', 'destroyed'] as const) {
    if (!fixture.canArrange(state)) continue;
    test(`guest() of a VM that is ${state} is refused`, () => refusesGuest(fixture, state));
  }
  test('guest() of an unknown VM is refused', async () => {
    await refusal('MICROVM_VM_NOT_FOUND', (await fixture.open()).guest(fixture.newId()));
  });
  test('a program that does not exist fails to start', async () => {
    const error = await exec(fixture, { argv: ['/no/such/program'] });
    await refusal('MICROVM_EXEC_FAILED', Promise.reject(error));
  });
  registerExec(fixture);
  test('a guest that ended is unreachable', () => losesGuest(fixture));
  test('a command whose guest dies ends', () => endsCommand(fixture));
  if (fixture.capabilities.memorySnapshot) {
    test('the epoch rises with a restore', () => raisesEpoch(fixture));
    test('commands that are asked for during a snapshot run after it, or may be asked for again', () =>
      execsDuringSnapshot(fixture));
  }
}

/** `cat` with its input left open never ends by itself. */
function registerExec(fixture: ProviderFixture): void {
  test("a command's output comes back as it is, with its exit code", async () => {
    const { vmId } = await fixture.arrange('running');
    const guest = await (await fixture.open()).guest(vmId);
    const input = Buffer.from([0, 255, 10, 13, 0]);
    const result = await guest.exec({ argv: ['cat'], input }).result;
    expect(result).toEqual({ exitCode: 0, signal: null, stdout: input, stderr: Buffer.alloc(0) });
  });
  test('more output than maxOutputBytes is an error, not a cut', async () => {
    const error = await exec(fixture, { argv: ['cat'], input: 'x'.repeat(1001), maxOutputBytes: 1000 });
    const { details } = await refusal('MICROVM_OUTPUT_LIMIT', Promise.reject(error));
    expect(details).toEqual({ stream: 'stdout', limitBytes: 1000 });
    expect(error).toMatchObject({ result: { stdout: Buffer.from('x'.repeat(1000)) } });
  });
  test("a command has the guest's defaults, and what was asked for over them", () => hasEnvironment(fixture));
  test('a user of the guest runs a command, one that it does not know fails it by its step', () =>
    runsAsUser(fixture));
  test('a kill is acknowledged when the guest has sent it', () => acknowledgesKill(fixture));
  test('an aborted command keeps what was read of it', () => keepsOutput(fixture));
  registerTerminal(fixture);
  test('a command that takes longer than its timeoutMs is ended', async () => {
    const error = await exec(fixture, { argv: ['cat'], timeoutMs: 50 });
    await refusal('MICROVM_TIMEOUT', Promise.reject(error));
  });
  test("a command that is aborted rejects with the signal's reason", async () => {
    const reason = new Error('not wanted any more');
    const abort = new AbortController();
    const call = exec(fixture, { argv: ['cat'], signal: abort.signal });
    abort.abort(reason);
    expect(await call).toBe(reason);
  });
}

/** Of the terminal only what the guest's own line discipline does: any guest has `cat` and `stty`. */
function registerTerminal(fixture: ProviderFixture): void {
  test('a terminal has the size that was asked for, and the next one', () => resizesTerminal(fixture));
  test('a terminal echoes what is typed, hands over lines, and makes Ctrl-C a signal', () =>
    typesOnTerminal(fixture));
  test('a terminal is needed for a size', async () => {
    const { vmId } = await fixture.arrange('running');
    const process = (await (await fixture.open()).guest(vmId)).exec({ argv: ['true'], input: '' });
    await refusal('MICROVM_INVALID_ARGUMENT', (async () => process.resize({ cols: 80, rows: 24 }))());
    await process.result;
  });
}

async function hasEnvironment(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const guest = await (await fixture.open()).guest(vmId);
  const lines = async (request: Partial<ExecRequest>): Promise<string[]> => {
    const { stdout } = await guest.exec({ argv: ['env'], input: '', ...request }).result;
    return stdout.toString().trim().split('\n');
  };
  const defaults = await lines({});
  expect(defaults.some((line) => line.startsWith('PATH=/'))).toBe(true);
  expect(defaults).toContain('HOME=/root');
  const asked = await lines({ env: { HOME: '/elsewhere', ASKED: 'a=b' } });
  expect(asked).toEqual(expect.arrayContaining(['HOME=/elsewhere', 'ASKED=a=b']));
  expect(asked).not.toContain('HOME=/root');
}

async function runsAsUser(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const guest = await (await fixture.open()).guest(vmId);
  for (const user of ['root', 0]) {
    const { stdout } = await guest.exec({ argv: ['id', '-u'], input: '', user }).result;
    expect(stdout.toString()).toBe('0\n');
  }
  const { details } = await refusal(
    'MICROVM_EXEC_FAILED',
    guest.exec({ argv: ['true'], user: 'no-such-user' }).result,
  );
  expect(details).toMatchObject({ step: 'user', errno: 'ENOENT' });
  await refusal(
    'MICROVM_INVALID_ARGUMENT',
    (async () => guest.exec({ argv: ['true'], user: 'a:b:c' }).result)(),
  );
}

async function acknowledgesKill(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const guest = await (await fixture.open()).guest(vmId);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const process = guest.exec({ argv: ['cat'] });
    await process.kill(signal);
    expect(await process.result).toMatchObject({ exitCode: null, signal });
    await process.kill(signal);
  }
}

async function keepsOutput(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const abort = new AbortController();
  const process = (await (await fixture.open()).guest(vmId)).exec({ argv: ['cat'], signal: abort.signal });
  const ended = rejection(process.result);
  process.stdin.write('kept');
  await expect.poll(() => process.collected.stdout.toString()).toBe('kept');
  const reason = new Error('enough');
  abort.abort(reason);
  expect(await ended).toBe(reason);
  expect(process.collected.stdout.toString()).toBe('kept');
}

async function resizesTerminal(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const guest = await (await fixture.open()).guest(vmId);
  const sized = guest.exec({ argv: ['stty', 'size'], pty: { cols: 100, rows: 30 } });
  expect((await sized.result).stdout.toString()).toBe('30 100\r\n');
  const script = 'read line; stty size';
  const process = guest.exec({ argv: ['sh', '-c', script], pty: { cols: 80, rows: 24 } });
  process.resize({ cols: 132, rows: 50 });
  process.stdin.write('go\r');
  expect((await process.result).stdout.toString()).toBe('go\r\n50 132\r\n');
}

async function typesOnTerminal(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const guest = await (await fixture.open()).guest(vmId);
  const process = guest.exec({ argv: ['cat'], pty: { cols: 80, rows: 24, term: 'vt100' } });
  const ended = process.result;
  process.stdin.write('ab\u007fc\r');
  await expect.poll(() => process.collected.stdout.toString()).toBe('ab\b \bc\r\nac\r\n');
  process.stdin.write('\u0003');
  expect(await ended).toMatchObject({ exitCode: null, signal: 'SIGINT', stderr: Buffer.alloc(0) });
}

async function exec(fixture: ProviderFixture, request: ExecRequest): Promise<unknown> {
  const { vmId } = await fixture.arrange('running');
  const guest = await (await fixture.open()).guest(vmId);
  return rejection(guest.exec(request).result);
}

async function refusesGuest(fixture: ProviderFixture, state: VmState): Promise<void> {
  const { vmId } = await fixture.arrange(state);
  const error = await refusal('MICROVM_INVALID_TRANSITION', (await fixture.open()).guest(vmId));
  expect(error.details).toMatchObject({ vmId, expected: ['running'], actual: state });
}

async function losesGuest(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const guest = await runtime.guest(vmId);
  await guest.ping();
  await runtime.destroyVm(vmId);
  await refusal('MICROVM_GUEST_UNREACHABLE', guest.ping({ timeoutMs: fixture.deadline(5_000) }));
  await refusal('MICROVM_GUEST_UNREACHABLE', guest.exec({ argv: ['true'] }).result);
}

async function endsCommand(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const guest = await runtime.guest(vmId);
  const result = rejection(guest.exec({ argv: ['cat'] }).result);
  await guest.ping();
  await fixture.factory.endGuest(runtime, vmId, 'kill-vmm');
  await refusal('MICROVM_GUEST_UNREACHABLE', Promise.reject(await result));
  await fixture.untilState(runtime, vmId, 'crashed');
}

async function raisesEpoch(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const before = await (await runtime.guest(vmId)).ping();
  const { snapshotUid } = await runtime.snapshotVm(vmId, 'taken');
  const restored = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom: { snapshotUid } });
  const after = await (await runtime.guest(restored.vmId)).ping();
  expect(after.epoch).toBeGreaterThan(before.epoch);
}

/** How a command ended: its exit code, or the error of its call. */
function outcome(guest: Guest): Promise<unknown> {
  return guest.exec({ argv: ['cat'], input: '' }).result.then(
    ({ exitCode }) => exitCode,
    (error: unknown) => error,
  );
}

async function execsDuringSnapshot(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const guest = await runtime.guest(vmId);
  let isTaken = false;
  const taking = runtime.snapshotVm(vmId, 'taken').finally(() => (isTaken = true));
  const outcomes: Promise<unknown>[] = [];
  do {
    outcomes.push(outcome(guest));
    await delay(ASK_EVERY_MS);
  } while (!isTaken);
  await taking;
  // The last of them at least was asked for when nothing was in its way any more.
  outcomes.push(outcome(guest));
  for (const ended of await Promise.all(outcomes)) {
    if (ended !== 0) expect(ended).toMatchObject({ name: 'VmRuntimeError', retryable: true });
  }
  expect(await outcomes.at(-1)).toBe(0);
}

function registerConsole(fixture: ProviderFixture): void {
  test('it is bounded by tailBytes, and can be read again', async () => {
    const { vmId } = await fixture.arrange('running');
    const runtime = await fixture.open();
    const whole = await readConsole(runtime, vmId);
    expect(await readConsole(runtime, vmId, { tailBytes: 8 })).toEqual(whole.subarray(-8));
    expect(await readConsole(runtime, vmId, { tailBytes: 0 })).toHaveLength(0);
  });
  test('it can be read after the death of the VM', async () => {
    const { vmId } = await fixture.arrange('crashed');
    const runtime = await fixture.open();
    const whole = await readConsole(runtime, vmId);
    expect(whole.length).toBeLessThanOrEqual((await viewOf(runtime, vmId)).spec.consoleLimitBytes);
    expect(await readConsole(runtime, vmId)).toEqual(whole);
  });
  test('following it ends by the signal, and when the VM is destroyed', async () => {
    const { vmId } = await fixture.arrange('running');
    const runtime = await fixture.open();
    const abort = new AbortController();
    const [aborted, whole] = [{ follow: true, signal: abort.signal }, { follow: true }].map((options) =>
      readConsole(runtime, vmId, options),
    );
    abort.abort();
    await aborted;
    await runtime.destroyVm(vmId);
    expect(Buffer.isBuffer(await whole)).toBe(true);
  });
  test('the console of an unknown VM is refused, and so are wrong options', async () => {
    const runtime = await fixture.open();
    await refusal('MICROVM_VM_NOT_FOUND', readConsole(runtime, fixture.newId()));
    const { vmId } = await fixture.arrange('created');
    for (const options of [{ tailBytes: -1 }, { tailbytes: 5 }, { follow: 'yes' }]) {
      await refusal('MICROVM_INVALID_ARGUMENT', readConsole(runtime, vmId, options as ConsoleOptions));
    }
  });
}

async function readConsole(runtime: VmRuntime, vmId: string, options?: ConsoleOptions): Promise<Buffer> {
  return Buffer.concat(await readAll(runtime.consoleVm(vmId, options)));
}
