import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import * as native from '@microvm/native';
import { openRuntime, type HostCalls, type JobView, type VmEvent, type VmRuntime } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { createFaults, createInMemoryRuntime, type Faults } from '../src/index.js';
import { makeDriver } from './driver-harness.js';

interface Held {
  readonly reached: Promise<void>;
  release(): void;
}

/**
 * A runtime that stands still in steps, and notes each of them and each rule of the driver that was broken.
 */
async function openWithGates(): Promise<{
  runtime: VmRuntime;
  faults: Faults;
  breaches: string[];
  steps: string[];
  readonly hold: (step: string) => Held;
}> {
  const faults = createFaults();
  const breaches: string[] = [];
  const steps: string[] = [];
  const gates = new Map<string, { reach(): void; released: Promise<void> }>();
  const runtime = await createInMemoryRuntime({
    faults,
    onBreach: ({ message }) => breaches.push(message),
    async onStep(step) {
      steps.push(step);
      const gate = gates.get(step);
      gates.delete(step);
      gate?.reach();
      await gate?.released;
    },
  });
  const hold = (step: string): Held => {
    let reach!: () => void;
    let release!: () => void;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    gates.set(step, { reach, released });
    return { reached, release };
  };
  return { runtime, faults, breaches, steps, hold };
}

/**
 * Lets everything go on that waits for nothing but promises: a call that has not been refused a turn by then
 * has had it.
 */
async function untilAtRest(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await setImmediate();
}

/** Resolves with the job of this kind that ends next. */
async function jobEnded(events: AsyncIterable<VmEvent>, kind: string): Promise<JobView> {
  for await (const event of events) {
    if (event.type === 'job' && event.job.kind === kind && event.job.endedAt !== undefined) return event.job;
  }
  throw new Error('the runtime was closed');
}

describe('a VM that is renamed while its guest ends', () => {
  it('is never worked on by a verb and by the runtime’s own job at once', async () => {
    const { runtime, faults, breaches, hold } = await openWithGates();
    await runtime.createVm('a');
    await runtime.startVm('a');
    const renaming = hold('renameVm:accepted');
    const halting = faults.add({ at: 'halt', kind: 'hang' });
    const renamed = runtime.renameVm('a', 'b');
    await renaming.reached;
    await faults.guestPowersOff('a');
    renaming.release();
    await renamed;
    await halting.reached;
    const started = runtime.startVm('b');
    await untilAtRest();
    halting.remove();
    expect((await started).state).toBe('running');
    await untilAtRest();
    expect(breaches).toEqual([]);
    expect((await runtime.getVm('b'))?.state).toBe('running');
    await runtime.close();
  });

  it('has both in its view, the new id and the end, also when the end comes while the id is written', async () => {
    const faults = createFaults();
    const stateDir = await mkdtemp(join(tmpdir(), 'microvm-test-'));
    let onWrite = (): void => undefined;
    const hostCalls: HostCalls = {
      ...native,
      async writeDurable(path, data, options) {
        onWrite();
        await native.writeDurable(path, data, options);
      },
    };
    const driver = makeDriver({ faults, hostCalls });
    await using runtime = await openRuntime({ driver, hostCalls, stateDir });
    await runtime.createVm('a');
    const { instanceId } = await runtime.startVm('a');
    const halting = faults.add({ at: 'halt', kind: 'hang' });
    onWrite = () => {
      onWrite = () => undefined;
      driver.endGuest(instanceId, { reason: 'power-off' });
    };
    const view = await runtime.renameVm('a', 'b');
    halting.remove();
    expect(view).toMatchObject({ vmId: 'b', state: 'stopped', ending: { reason: 'power-off' } });
    await rm(stateDir, { recursive: true });
  });
});

describe('a guest that ends while a create is at work', () => {
  it('is cleared away when that is done', async () => {
    const { runtime, faults, hold } = await openWithGates();
    await runtime.createVm('a');
    await runtime.startVm('a');
    const { snapshotUid } = await runtime.snapshotVm('a', 's');
    const creating = hold('createVm:effects');
    const created = runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid } });
    await creating.reached;
    await faults.guestPowersOff('b');
    const ended = jobEnded(runtime.events(), 'observeVm');
    creating.release();
    await created;
    expect((await ended).status).toBe('succeeded');
    expect(await runtime.getVm('b')).toMatchObject({ state: 'stopped', ending: { reason: 'power-off' } });
    await runtime.close();
  });
});

describe('jobs on one snapshot', () => {
  it('take turns, however each of them names it', async () => {
    const { runtime, hold } = await openWithGates();
    await runtime.createVm('a');
    const { snapshotUid } = await runtime.snapshotVm('a', 's');
    const deleting = hold('deleteSnapshot:accepted');
    const first = runtime.deleteSnapshot({ vmId: 'a', snapshotId: 's' });
    await deleting.reached;
    let isVerified = false;
    const second = runtime.verifySnapshot({ snapshotUid }).finally(() => (isVerified = true));
    second.catch(() => undefined);
    await untilAtRest();
    expect(isVerified).toBe(false);
    deleting.release();
    await first;
    await expect(second).rejects.toMatchObject({ code: 'MICROVM_SNAPSHOT_NOT_FOUND' });
    await runtime.close();
  });

  it('says of a snapshot that a restore reads that it is being read', async () => {
    const { runtime, faults } = await openWithGates();
    await runtime.createVm('a');
    const { snapshotUid } = await runtime.snapshotVm('a', 's');
    const reading = faults.add({ at: 'checkSnapshot', kind: 'hang' });
    const restored = runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid } });
    await reading.reached;
    await expect(runtime.deleteSnapshot({ snapshotUid })).rejects.toMatchObject({
      code: 'MICROVM_SNAPSHOT_IN_USE',
      message: `snapshot ${snapshotUid} is being read`,
    });
    reading.remove();
    await restored;
    await runtime.close();
  });
});

describe('close()', () => {
  it('leaves no job of the runtime’s own at work, whenever a guest ends', async () => {
    const faults = createFaults();
    const steps: string[] = [];
    const driver = makeDriver({ faults });
    const runtime = await openRuntime({ driver, onStep: (step) => void steps.push(step) });
    await runtime.createVmWithSpec('a', { onOwnerDeath: 'destroy' });
    await runtime.createVm('b');
    const { instanceId } = await runtime.startVm('b');
    const releasing = faults.add({ at: 'release', kind: 'hang' });
    const halting = faults.add({ at: 'halt', kind: 'hang' });
    const closed = runtime.close();
    await releasing.reached;
    driver.endGuest(instanceId, { reason: 'power-off' });
    await untilAtRest();
    releasing.remove();
    await closed;
    halting.remove();
    expect(steps.filter((step) => step.startsWith('observeVm:'))).toEqual([]);
  });

  it('waits for a job of the runtime’s own that is at work', async () => {
    const { runtime, faults, steps, hold } = await openWithGates();
    await runtime.createVm('a');
    await runtime.startVm('a');
    const observing = hold('observeVm:accepted');
    await faults.guestPowersOff('a');
    await observing.reached;
    const closed = runtime.close();
    await untilAtRest();
    observing.release();
    await closed;
    expect(steps.at(-1)).toBe('observeVm:committed');
  });
});
