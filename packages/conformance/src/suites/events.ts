import type { EventsOptions, VmEvent, VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { readAll, renamed, VERB_CALLS } from '../calls.js';
import { refusal } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

/** What happened, told in order to everyone who listens. */
export function registerEvents(fixture: ProviderFixture): void {
  describe('events', () => {
    test('each change of state is told, in order', () => tellsStates(fixture));
    test('each job is told as queued, running and ended, around what it changed', () => tellsJobs(fixture));
    test('a job that failed is told with its error', () => tellsFailure(fixture));
    test('snapshots, new names and forgotten VMs are told', () => tellsTheRest(fixture));
    test('two readers get the same', () => tellsEveryone(fixture));
    test('a reader hears from its call on, not of what was before', () => tellsFromNowOn(fixture));
    test('a slow reader is told how much it missed, and loses the oldest', () => tellsLag(fixture));
    test('a signal ends a reader, the others read on', () => endsBySignal(fixture));
    test('options of a reader are checked', async () => {
      const runtime = await fixture.open();
      for (const options of [{ bufferSize: 0 }, { bufferSize: 1.5 }, { buffersize: 5 }, { signal: {} }]) {
        const read = async (): Promise<unknown> => readAll(runtime.events(options as EventsOptions));
        await refusal('MICROVM_INVALID_ARGUMENT', read());
      }
    });
  });
}

/** Collects events until `stop`; answers with all of them. */
function listen(runtime: VmRuntime, options: EventsOptions = {}): { stop(): Promise<VmEvent[]> } {
  const abort = new AbortController();
  const reading = readAll(runtime.events({ ...options, signal: abort.signal }));
  return {
    stop: () => {
      abort.abort();
      return reading;
    },
  };
}

/**
 * What happens to one VM while an action runs; views of jobs are told at any time around it, so they are
 * waited for.
 */
async function eventsOf(
  fixture: ProviderFixture,
  action: (runtime: VmRuntime) => Promise<unknown>,
): Promise<VmEvent[]> {
  const runtime = await fixture.open();
  const listener = listen(runtime);
  await action(runtime);
  return listener.stop();
}

function states(events: readonly VmEvent[], vmId: string): unknown[] {
  return events.flatMap((event) =>
    event.type === 'vm-state' && event.vmId === vmId ? [[event.from, event.to]] : [],
  );
}

async function tellsStates(fixture: ProviderFixture): Promise<void> {
  const vmId = fixture.newId();
  const events = await eventsOf(fixture, async (runtime) => {
    await runtime.createVmWithSpec(vmId, fixture.spec());
    await runtime.startVm(vmId);
    await runtime.stopVm(vmId);
    await runtime.destroyVm(vmId);
  });
  expect(states(events, vmId)).toEqual([
    [undefined, 'created'],
    ['created', 'running'],
    ['running', 'stopped'],
    ['stopped', 'destroyed'],
  ]);
  const ending = events.find((event) => event.type === 'vm-state' && event.to === 'stopped');
  expect(ending).toMatchObject({ ending: { lastLogLines: expect.any(Array) as unknown } });
  const times = events.map(({ at }) => at);
  expect(times).toEqual([...times].sort());
}

async function tellsJobs(fixture: ProviderFixture): Promise<void> {
  const vmId = fixture.newId();
  const events = await eventsOf(fixture, (runtime) => runtime.createVmWithSpec(vmId, fixture.spec()));
  const told = events.flatMap((event) => {
    if (event.type === 'job' && event.job.vmId === vmId) return [event.job.status];
    return event.type === 'vm-state' ? [event.to] : [];
  });
  expect(told).toEqual(['queued', 'running', 'created', 'succeeded']);
}

async function tellsFailure(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  // The stop must fail: the VM was never started.
  const events = await eventsOf(fixture, (runtime) => runtime.stopVm(vmId).catch(() => undefined));
  const ended = events.filter((event) => event.type === 'job').at(-1);
  expect(ended?.job).toMatchObject({ status: 'failed', error: { code: 'MICROVM_INVALID_TRANSITION' } });
  expect(states(events, vmId)).toEqual([]);
}

async function tellsTheRest(fixture: ProviderFixture): Promise<void> {
  const { capabilities } = fixture;
  const { vmId, instanceId } = await fixture.arrange('created');
  const expected: unknown[] = [];
  let last = vmId;
  const events = await eventsOf(fixture, async (runtime) => {
    if (capabilities.diskSnapshot) {
      const snapshot = await runtime.snapshotVm(vmId, 'one');
      await runtime.deleteSnapshot({ snapshotUid: snapshot.snapshotUid });
      expected.push({ type: 'snapshot-published', snapshot });
      expected.push({ type: 'snapshot-deleted', snapshotUid: snapshot.snapshotUid });
    }
    if (capabilities.rename) {
      last = renamed(vmId);
      await VERB_CALLS.renameVm(runtime, vmId);
      expected.push({ type: 'vm-renamed', instanceId, from: vmId, to: last });
    }
    await runtime.destroyVm(last);
    await runtime.forgetVm(last);
    expected.push({ type: 'vm-forgotten', vmId: last, instanceId });
  });
  const others = events.filter(({ type }) => type !== 'job' && type !== 'vm-state');
  expect(others.map(({ at: _at, ...event }) => event)).toEqual(expected);
}

async function tellsEveryone(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const listeners = [listen(runtime), listen(runtime)];
  await runtime.createVmWithSpec(fixture.newId(), fixture.spec());
  const [one, other] = await Promise.all(listeners.map((listener) => listener.stop()));
  expect(one).toEqual(other);
  expect(one).not.toEqual([]);
}

async function tellsFromNowOn(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const before = await runtime.createVmWithSpec(fixture.newId(), fixture.spec());
  const abort = new AbortController();
  const events = runtime.events({ signal: abort.signal });
  const { vmId } = await runtime.createVmWithSpec(fixture.newId(), fixture.spec());
  abort.abort();
  const seen = await readAll(events);
  expect(states(seen, before.vmId)).toEqual([]);
  expect(states(seen, vmId)).toEqual([[undefined, 'created']]);
}

async function tellsLag(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const witness = listen(runtime);
  const abort = new AbortController();
  const slow = runtime.events({ bufferSize: 2, signal: abort.signal });
  const vmId = fixture.newId();
  await runtime.createVmWithSpec(vmId, fixture.spec());
  await runtime.destroyVm(vmId);
  const all = await witness.stop();
  abort.abort();
  const [lagged, ...rest] = await readAll(slow);
  expect(lagged).toMatchObject({ type: 'lagged', missed: all.length - 2 });
  expect(rest).toEqual(all.slice(-2));
}

async function endsBySignal(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const [short, long] = [listen(runtime), listen(runtime)];
  expect(await short.stop()).toEqual([]);
  const { vmId } = await runtime.createVmWithSpec(fixture.newId(), fixture.spec());
  expect(states(await long.stop(), vmId)).toEqual([[undefined, 'created']]);
}
