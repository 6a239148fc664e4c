import type { JobView, VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { JOB_CALLS } from '../calls.js';
import { refusal, stateOf, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { arrangeFor, kindOf, traitsOf, type Trait } from '../traits.js';

/** Every change is a job, which can be looked at and cancelled. */
export function registerJobs(fixture: ProviderFixture): void {
  describe('jobs', () => {
    for (const trait of traitsOf(fixture)) {
      test(`${trait.method} is a job with its times`, () => isJob(fixture, trait));
    }
    test('a job that failed says why', () => tellsFailure(fixture));
    test('a running job is shown as running, a waiting one as queued', () => showsLiveJobs(fixture));
    test('jobs are listed in the order they were asked for, and by VM', () => listsInOrder(fixture));
    test('the history of a VM is bounded', () => boundsHistory(fixture));
    test('progress is told to onProgress only', () => tellsProgress(fixture));
    test('a listener that throws does no harm to the job', () => survivesListeners(fixture));
    registerCancelling(fixture);
  });
}

function registerCancelling(fixture: ProviderFixture): void {
  test('cancelJob ends a running job, and what it did is undone', () => cancelsRunning(fixture));
  test('cancelJob ends a waiting job, and the one before it goes on', () => cancelsQueued(fixture));
  test('cancelJob answers with a job that has ended as it is', () => leavesEnded(fixture));
  test('cancelJob and getJob of an unknown id: an error and undefined', async () => {
    const runtime = await fixture.open();
    const error = await refusal('MICROVM_JOB_NOT_FOUND', runtime.cancelJob('none'));
    expect(error.details).toEqual({ jobId: 'none' });
    expect(await runtime.getJob('none')).toBeUndefined();
  });
}

function expectTimes(job: JobView): void {
  const times = [job.queuedAt, job.startedAt ?? '', job.endedAt ?? ''];
  for (const time of times) expect(new Date(time).toISOString()).toBe(time);
  expect(times).toEqual([...times].sort());
}

async function isJob(fixture: ProviderFixture, trait: Trait): Promise<void> {
  const vmId = await arrangeFor(fixture, trait);
  const runtime = await fixture.open();
  const asked: JobView[] = [];
  await JOB_CALLS[trait.method](runtime, vmId, { onJob: (job) => asked.push(job) });
  expect(asked).toHaveLength(1);
  const [queued] = asked as [JobView];
  expect(queued).toMatchObject({ kind: kindOf(trait.method), status: 'queued' });
  if (!trait.method.endsWith('Snapshot')) expect(queued.vmId).toBe(vmId);
  if (trait.method === 'forgetVm') return; // its history is forgotten with the VM, or not: both are bounded
  const ended = await runtime.getJob(queued.jobId);
  if (ended === undefined) throw new Error('the job is not in the history');
  expect(ended).toMatchObject({ ...queued, status: 'succeeded' });
  expect(ended.error).toBeUndefined();
  expectTimes(ended);
}

async function tellsFailure(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  const runtime = await fixture.open();
  await refusal('MICROVM_INVALID_TRANSITION', runtime.stopVm(vmId));
  const job = (await runtime.listJobs({ vmId })).at(-1);
  expect(job).toMatchObject({
    kind: 'stopVm',
    status: 'failed',
    error: { code: 'MICROVM_INVALID_TRANSITION' },
  });
  expect(job?.error?.message).toContain(vmId);
}

async function showsLiveJobs(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const hold = fixture.gates.hold('createVm:intent');
  const calls = [runtime.createVmWithSpec(vmId, fixture.spec()), runtime.destroyVm(vmId)];
  await hold.reached;
  const [running, queued] = await runtime.listJobs({ vmId });
  expect(running).toMatchObject({ kind: 'createVm', status: 'running' });
  expect(queued).toMatchObject({ kind: 'destroyVm', status: 'queued' });
  expect(running?.startedAt).toBeDefined();
  expect(queued?.startedAt).toBeUndefined();
  expect(await runtime.getJob(running?.jobId ?? '')).toEqual(running);
  hold.release();
  await Promise.all(calls);
}

async function listsInOrder(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const [one, other] = [fixture.newId(), fixture.newId()];
  await runtime.createVmWithSpec(one, fixture.spec());
  await runtime.createVmWithSpec(other, fixture.spec());
  await runtime.destroyVm(one);
  const told = (jobs: readonly JobView[]): unknown[] => jobs.map(({ kind, vmId }) => [kind, vmId]);
  expect(told(await runtime.listJobs({ vmId: one }))).toEqual([
    ['createVm', one],
    ['destroyVm', one],
  ]);
  const both = (await runtime.listJobs()).filter(({ vmId }) => vmId === one || vmId === other);
  expect(told(both)).toEqual([
    ['createVm', one],
    ['createVm', other],
    ['destroyVm', one],
  ]);
}

async function boundsHistory(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh({ jobHistoryLimit: 2 });
  const { vmId } = await fixture.arrangeIn(runtime, 'created');
  const calls = fixture.capabilities.diskSnapshot ? ['a', 'b', 'c'] : [];
  for (const snapshotId of calls) await runtime.snapshotVm(vmId, snapshotId);
  await runtime.destroyVm(vmId);
  const kinds = (await runtime.listJobs({ vmId })).map(({ kind }) => kind);
  expect(kinds.length).toBeLessThanOrEqual(2);
  expect(kinds.at(-1)).toBe('destroyVm');
}

async function tellsProgress(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  let isDone = false;
  const late: unknown[] = [];
  const onProgress = (progress: unknown): void => {
    expect(progress).toMatchObject({
      step: expect.any(String) as unknown,
      done: expect.any(Number) as unknown,
    });
    if (isDone) late.push(progress);
  };
  await runtime.createVmWithSpec(vmId, fixture.spec(), { onProgress });
  isDone = true;
  await runtime.destroyVm(vmId);
  expect(late, 'nothing is told after the end').toEqual([]);
}

async function survivesListeners(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const onJob = (): never => {
    throw new Error('the listener is broken');
  };
  const vmId = fixture.newId();
  // A runtime may also refuse the create because of its listener.
  await runtime.createVmWithSpec(vmId, fixture.spec(), { onJob }).catch(() => undefined);
  const jobs = await runtime.listJobs({ vmId });
  expect(
    jobs.every(({ endedAt }) => endedAt !== undefined),
    'no job is left running',
  ).toBe(true);
  expect((await runtime.getVm(vmId))?.state ?? 'created').toBe('created');
}

async function cancelsRunning(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const hold = fixture.gates.hold('createVm:intent');
  const call = refusal('MICROVM_CANCELLED', runtime.createVmWithSpec(vmId, fixture.spec()));
  await hold.reached;
  const jobId = await onlyJob(runtime, vmId);
  const cancelled = runtime.cancelJob(jobId);
  hold.release();
  expect(await cancelled).toMatchObject({ jobId, status: 'cancelled', error: { code: 'MICROVM_CANCELLED' } });
  expect((await call).details).toEqual({ jobId });
  expect(await runtime.getVm(vmId)).toBeUndefined();
}

async function onlyJob(runtime: VmRuntime, vmId: string): Promise<string> {
  const [job] = await runtime.listJobs({ vmId });
  if (job === undefined) throw new Error(`no job of "${vmId}"`);
  return job.jobId;
}

async function cancelsQueued(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const hold = fixture.gates.hold('createVm:intent');
  const first = runtime.createVmWithSpec(vmId, fixture.spec());
  await hold.reached;
  let jobId = '';
  const second = refusal(
    'MICROVM_CANCELLED',
    runtime.destroyVm(vmId, { onJob: (job) => (jobId = job.jobId) }),
  );
  await fixture.eventually(() => expect(jobId).not.toBe(''));
  const job = await runtime.cancelJob(jobId);
  expect(job).toMatchObject({ status: 'cancelled' });
  expect(job.startedAt, 'it never began').toBeUndefined();
  expect((await second).details).toEqual({ jobId });
  hold.release();
  expect(await first).toEqual(await viewOf(runtime, vmId));
}

async function leavesEnded(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  const runtime = await fixture.open();
  const jobId = await onlyJob(runtime, vmId);
  await withoutEffect(runtime, async () => {
    expect(await runtime.cancelJob(jobId)).toEqual(await runtime.getJob(jobId));
  });
  expect(await stateOf(runtime, vmId)).toBe('created');
}
