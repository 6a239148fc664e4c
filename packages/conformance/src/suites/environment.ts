import { isLive, type Argv, type EnvironmentUpdate, type ExecRequest, type VmState } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { readAll } from '../calls.js';
import { refusal, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { variablesIn } from '../variables-in.js';

/** The environment that all commands of a VM get. */
export function registerEnvironment(fixture: ProviderFixture): void {
  if (!fixture.capabilities.guestAgent) return;
  describe('the environment of a VM', () => {
    test("is over the guest's defaults and under that of the command", () => isBetween(fixture));
    test('is changed by name: null removes, the others stay', () => merges(fixture));
    for (const state of ['created', 'paused', 'stopped', 'crashed'] as const) {
      if (!fixture.canArrange(state)) continue;
      test(`that is changed while it is ${state} is there when it runs`, () => waits(fixture, state));
    }
    test('is given at create, and stays over a stop and a start', () => outlivesStop(fixture));
    if (fixture.factory.hasLiveGuests ?? true)
      test('stays over a reboot of the guest', () => outlivesReboot(fixture));
    test('with a wrong name, a wrong value or too much in all is refused', () => refuses(fixture));
    test('counts with the arguments of a command, which is refused before it is sent', () => bounds(fixture));
    if (fixture.capabilities.memorySnapshot) {
      test('belongs to a snapshot, and may be chosen anew', () => isCaptured(fixture));
    }
    if (fixture.isDurable) test('is known to the next owner', () => outlivesOwner(fixture));
  });
}

const NAMES = ['A', 'B', 'HOME'];

async function isBetween(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setEnv(vmId, { HOME: '/of/vm', A: 'of vm', B: 'of vm=1' });
  expect(await variablesIn(runtime, vmId, NAMES)).toEqual({ HOME: '/of/vm', A: 'of vm', B: 'of vm=1' });
  const guest = await runtime.guest(vmId);
  const asked: ExecRequest = { argv: ['env'], input: '', user: 'root', env: { A: 'of command' } };
  const lines = (await guest.exec(asked).result).stdout.toString().split('\n');
  expect(lines).toEqual(expect.arrayContaining(['HOME=/of/vm', 'A=of command', 'B=of vm=1', 'USER=root']));
}

async function merges(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const before = await variablesIn(runtime, vmId, ['HOME']);
  await runtime.setEnv(vmId, { HOME: '/x', A: '1' });
  const view = await runtime.setEnv(vmId, { HOME: null, B: '2', C: null });
  expect(view.spec.env).toEqual({ A: '1', B: '2' });
  expect(await runtime.getVm(vmId)).toEqual(view);
  // What is removed is the VM's own variable: the guest's default is under it.
  expect(await variablesIn(runtime, vmId, NAMES)).toEqual({ A: '1', B: '2', ...before });
}

async function waits(fixture: ProviderFixture, state: VmState): Promise<void> {
  const { vmId } = await fixture.arrange(state);
  const runtime = await fixture.open();
  await runtime.setEnv(vmId, { A: '1', B: '2' });
  expect(await runtime.setEnv(vmId, { A: null })).toMatchObject({ state, spec: { env: { B: '2' } } });
  await (isLive(state) ? runtime.resumeVm(vmId) : runtime.startVm(vmId));
  expect(await variablesIn(runtime, vmId, ['A', 'B'])).toEqual({ B: '2' });
}

async function outlivesStop(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh();
  const { vmId } = await fixture.arrangeIn(runtime, 'stopped', { env: { A: 'given' } });
  await runtime.startVm(vmId);
  expect(await variablesIn(runtime, vmId, NAMES)).toMatchObject({ A: 'given' });
}

async function outlivesReboot(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setEnv(vmId, { A: '1' });
  const abort = new AbortController();
  const events = readAll(untilRebooted(runtime.events({ signal: abort.signal }), vmId));
  await fixture.factory.endGuest(runtime, vmId, 'reboot');
  await events;
  abort.abort();
  expect(await variablesIn(runtime, vmId, ['A'])).toEqual({ A: '1' });
}

async function* untilRebooted(
  events: ReturnType<Awaited<ReturnType<ProviderFixture['open']>>['events']>,
  vmId: string,
): AsyncGenerator<never> {
  for await (const event of events) {
    if (event.type !== 'job' || event.job.kind !== 'rebootVm' || event.job.vmId !== vmId) continue;
    if (event.job.endedAt !== undefined) return;
  }
}

async function refuses(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created', { env: { A: '1' } });
  const runtime = await fixture.open();
  const wrong: unknown[] = [undefined, 'A=1', { 'A=B': '1' }, { '': '1' }, { A: 1 }, { A: 'a\0b' }];
  // What execve takes of one string, with the NUL: "N=" and the rest.
  const longest = 'x'.repeat(128 * 1024 - 3);
  const large = Object.fromEntries(['1', '2', '3', '4', '5', '6', '7', '8'].map((name) => [name, longest]));
  await withoutEffect(runtime, async () => {
    for (const env of [...wrong, large, { A: null, B: `${longest}x` }]) {
      await refusal('MICROVM_INVALID_ARGUMENT', runtime.setEnv(vmId, env as EnvironmentUpdate));
    }
    await refusal(
      'MICROVM_INVALID_ARGUMENT',
      runtime.createVmWithSpec(fixture.newId(), { agent: 'none', env: { A: '1' } }),
    );
  });
  // Together with what is there it is too much, alone it is not.
  await runtime.setEnv(vmId, { A: null });
  await runtime.setEnv(vmId, large);
}

async function bounds(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const half = 'x'.repeat(100 * 1024);
  const env = Object.fromEntries(['A', 'B', 'C', 'D', 'E'].map((name) => [name, half]));
  await runtime.setEnv(vmId, env);
  const guest = await runtime.guest(vmId);
  const { stdout } = await guest.exec({ argv: ['sh', '-c', 'echo fits'], input: '' }).result;
  expect(stdout.toString()).toBe('fits\n');
  const argv: Argv = ['true', ...Object.values(env), half];
  await refusal('MICROVM_INVALID_ARGUMENT', (async () => guest.exec({ argv }).result)());
}

async function isCaptured(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const { vmId } = await fixture.arrange('running');
  await runtime.setEnv(vmId, { A: 'captured' });
  const { snapshotUid } = await runtime.snapshotVm(vmId, 'taken');
  await runtime.setEnv(vmId, { A: 'later' });
  if (!fixture.capabilities.concurrentRestores) await runtime.destroyVm(vmId);
  const restoreFrom = { snapshotUid };
  const same = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom });
  expect(same.spec.env).toEqual({ A: 'captured' });
  expect(await variablesIn(runtime, same.vmId, NAMES)).toMatchObject({ A: 'captured' });
  await runtime.destroyVm(same.vmId);
  const other = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom, env: { B: 'new' } });
  expect(other.spec.env).toEqual({ B: 'new' });
  const variables = await variablesIn(runtime, other.vmId, ['A', 'B']);
  expect(variables).toEqual({ B: 'new' });
}

async function outlivesOwner(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const first = await fixture.open();
  await first.setEnv(vmId, { A: '1' });
  const next = await fixture.reopen();
  const view = await viewOf(next, vmId);
  expect(view.spec.env).toEqual({ A: '1' });
  if (view.state !== 'running') await next.startVm(vmId);
  expect(await variablesIn(next, vmId, ['A'])).toEqual({ A: '1' });
}
