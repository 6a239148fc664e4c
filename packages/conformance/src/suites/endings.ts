import type { VmEvent } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { readAll } from '../calls.js';
import { refusal, viewOf } from '../expectations.js';
import type { GuestEnding } from '../factory.js';
import type { ProviderFixture } from '../fixture.js';

const ENDINGS = [
  ['power-off', 'stopped', 'power-off'],
  ['panic', 'crashed', 'panic'],
  ['kill-vmm', 'crashed', 'vmm-exit'],
] as const;

/** Guests and VMMs that end without being asked to, and those that are stopped. */
export function registerEndings(fixture: ProviderFixture): void {
  const { hasLiveGuests = true } = fixture.factory;
  // What the guest does itself; skipped where it makes no progress.
  const testOfGuest = test.skipIf(!hasLiveGuests);
  describe('endings', () => {
    for (const [how, state, reason] of ENDINGS) {
      (how === 'kill-vmm' ? test : testOfGuest)(`${how}: the VM is ${state}, and says why`, () =>
        ends(fixture, how, { state, reason }),
      );
    }
    if (fixture.capabilities.pause) {
      test('the VMM of a paused VM dies: the VM is crashed', async () => {
        const { vmId } = await fixture.arrange('paused');
        const runtime = await fixture.open();
        await fixture.factory.endGuest(runtime, vmId, 'kill-vmm');
        expect((await fixture.untilState(runtime, vmId, 'crashed')).ending?.reason).toBe('vmm-exit');
      });
    }
    registerReboots(fixture, testOfGuest);
    testOfGuest('stopVm lets the guest flush, and says so', () => stopsGracefully(fixture));
    test('stopVm that leaves the guest no time is forced, and says so', async () => {
      const { vmId } = await fixture.arrange('running', { shutdownTimeoutMs: 0 });
      const view = await (await fixture.open()).stopVm(vmId);
      expect(view).toMatchObject({ state: 'stopped', stop: 'forced', ending: { reason: 'killed' } });
    });
    test('a start after an ending clears what was said of it', () => startsAnew(fixture));
    test('the VMM dies during stopVm: the VM is not running, and the call ends', () =>
      diesDuringStop(fixture));
  });
}

interface Outcome {
  readonly state: 'stopped' | 'crashed';
  readonly reason: string;
}

async function ends(fixture: ProviderFixture, how: GuestEnding, { state, reason }: Outcome): Promise<void> {
  const before = await fixture.arrange('running');
  const { vmId } = before;
  const runtime = await fixture.open();
  const abort = new AbortController();
  const events = readAll(runtime.events({ signal: abort.signal }));
  await fixture.factory.endGuest(runtime, vmId, how);
  await fixture.untilState(runtime, vmId, state);
  const view = await fixture.eventually(async () => {
    const seen = await viewOf(runtime, vmId);
    expect(seen.vmm).toBeUndefined();
    return seen;
  });
  abort.abort();
  expect(view).toMatchObject({ state, instanceId: before.instanceId, ending: { reason } });
  expect(Array.isArray(view.ending?.lastLogLines)).toBe(true);
  const told = (await events).filter((event) => event.type === 'vm-state');
  expect(told.map(({ from, to, ending }) => [from, to, ending?.reason])).toEqual([
    ['running', state, reason],
  ]);
  await refusal('MICROVM_INVALID_TRANSITION', runtime.stopVm(vmId));
}

function registerReboots(fixture: ProviderFixture, testOfGuest: ReturnType<typeof test.skipIf>): void {
  testOfGuest('reboot: the VM runs again, by its policy', async () => {
    const { vmId, instanceId } = await fixture.arrange('running', { onGuestReboot: 'restart' });
    const runtime = await fixture.open();
    const abort = new AbortController();
    const events: VmEvent[] = [];
    const reading = (async () => {
      for await (const event of runtime.events({ signal: abort.signal })) events.push(event);
    })();
    await fixture.factory.endGuest(runtime, vmId, 'reboot');
    await fixture.eventually(() => expect(events.map(({ type }) => type)).toContain('guest-rebooted'));
    await fixture.eventually(async () => {
      const jobs = await runtime.listJobs({ vmId });
      expect(jobs.every(({ endedAt }) => endedAt !== undefined)).toBe(true);
      expect((await viewOf(runtime, vmId)).state).toBe('running');
    });
    if (fixture.capabilities.guestAgent) await (await runtime.guest(vmId)).ping();
    abort.abort();
    await reading;
    expect(events.find(({ type }) => type === 'guest-rebooted')).toMatchObject({ vmId, instanceId });
  });
  testOfGuest('reboot: the VM is stopped, by its policy', async () => {
    const { vmId } = await fixture.arrange('running', { onGuestReboot: 'stop' });
    const runtime = await fixture.open();
    await fixture.factory.endGuest(runtime, vmId, 'reboot');
    expect((await fixture.untilState(runtime, vmId, 'stopped')).ending?.reason).toBe('reboot');
  });
}

async function stopsGracefully(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const view = await runtime.stopVm(vmId);
  expect(view).toMatchObject({ state: 'stopped', stop: 'graceful', ending: { reason: 'shutdown' } });
  expect(view.vmm).toBeUndefined();
}

async function startsAnew(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('crashed');
  const runtime = await fixture.open();
  const view = await runtime.startVm(vmId);
  expect(view.state).toBe('running');
  expect(view).not.toHaveProperty('ending');
  expect(view).not.toHaveProperty('stop');
}

async function diesDuringStop(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  fixture.gates.once('stopVm:intent', () => fixture.factory.endGuest(runtime, vmId, 'kill-vmm'));
  await Promise.allSettled([runtime.stopVm(vmId)]);
  const view = await fixture.eventually(async () => {
    const seen = await viewOf(runtime, vmId);
    expect(['stopped', 'crashed']).toContain(seen.state);
    return seen;
  });
  expect(view.stop, 'the guest did not flush').not.toBe('graceful');
}
