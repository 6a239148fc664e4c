import { isVmRuntimeError, type OperationOptions, type VmEvent, type VmRuntime } from '@microvm/runtime';
import { creating, inOpening, inRuntime, without, type PlantedFault } from './faulty-runtime.js';

/** Lets only one call at a time through, of all VMs. */
function globalLock(good: VmRuntime): VmRuntime['createVmWithSpec'] {
  let last: Promise<unknown> = Promise.resolve();
  return (vmId, spec, options) => {
    const turn = last.then(() => good.createVmWithSpec(vmId, spec, options));
    last = turn.catch(() => undefined);
    return turn;
  };
}

/** Changes the options of each call that makes, starts or destroys a VM. */
function withOptions(
  good: VmRuntime,
  change: (options: OperationOptions) => OperationOptions,
): ReturnType<typeof creating> {
  return {
    ...creating((vmId, spec, options = {}) => good.createVmWithSpec(vmId, spec, change(options))),
    startVm: (vmId, options = {}) => good.startVm(vmId, change(options)),
    destroyVm: (vmId, options = {}) => good.destroyVm(vmId, change(options)),
  };
}

let opened = 0;

const CALL_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'one lock for all VMs',
    ['calls in a row and at once', '20 VMs are created at once, none waits for another'],
    (good) => creating(globalLock(good)),
  ),
  inRuntime(
    'a verb that has nothing left to do succeeds',
    ['calls in a row and at once', 'startVm 20 times at once on one VM: exactly one wins'],
    (good) => ({
      startVm: (vmId, options) =>
        good.startVm(vmId, options).catch(async (error: unknown) => {
          const view = await good.getVm(vmId);
          if (view?.state !== 'running') throw error;
          return view;
        }),
    }),
  ),
  inOpening(
    'the limit of jobs at once is ignored',
    ['calls in a row and at once', 'concurrency bounds the jobs that run at once'],
    (good, options) => good.open(without(options, 'concurrency')),
  ),
  inRuntime(
    'idempotency keys are ignored',
    ['idempotency keys', 'createVm with the key of a call that succeeded answers with its outcome'],
    (good) => withOptions(good, (options) => without(options, 'idempotencyKey')),
  ),
  inRuntime(
    'another request under a used key is carried out',
    ['idempotency keys', 'a key belongs to one VM'],
    (good) => ({
      destroyVm: (vmId, options) =>
        good.destroyVm(vmId, options).catch((error: unknown) => {
          if (!isVmRuntimeError(error, 'MICROVM_IDEMPOTENCY_CONFLICT')) throw error;
          return good.destroyVm(vmId);
        }),
    }),
  ),
  inRuntime(
    'idempotency keys are forgotten at a restart',
    ['idempotency keys', 'a key survives a restart'],
    (good) => {
      opened += 1;
      const suffix = `-${opened}`;
      return withOptions(good, (options) =>
        options.idempotencyKey === undefined
          ? options
          : { ...options, idempotencyKey: options.idempotencyKey + suffix },
      );
    },
  ),
];

const ABORT_FAULTS: readonly PlantedFault[] = [
  inRuntime(
    'an abort rejects with an error of its own',
    ['aborts', 'the reason is passed on as it is, also when it is no error'],
    (good) =>
      creating((vmId, spec, options) =>
        good.createVmWithSpec(vmId, spec, options).catch((error: unknown) => {
          throw options?.signal?.aborted === true ? new Error('aborted', { cause: error }) : error;
        }),
      ),
  ),
  inRuntime('an abort is ignored', ['aborts', 'startVm is undone when it is aborted in the middle'], (good) =>
    withOptions(good, (options) => (options.signal?.aborted === true ? options : without(options, 'signal'))),
  ),
  inRuntime(
    'a call that was aborted before is made all the same',
    ['aborts', 'createVmWithSpec does nothing when its signal was aborted before'],
    (good) => ({
      async createVmWithSpec(vmId, spec, options) {
        if (options?.signal?.aborted !== true) return good.createVmWithSpec(vmId, spec, options);
        await good.createVmWithSpec(vmId, spec);
        throw options.signal.reason;
      },
    }),
  ),
  inRuntime(
    'a restore that is aborted leaves its VM',
    ['aborts', 'a restore that is aborted in the middle leaves nothing'],
    (good) => ({
      createVmWithSpec: (vmId, spec, options) =>
        good.createVmWithSpec(vmId, spec, options).catch(async (error: unknown) => {
          await good.createVm(vmId);
          throw error;
        }),
    }),
  ),
  inRuntime(
    'timeoutMs is ignored',
    ['deadlines', 'createVm that takes longer than timeoutMs is undone'],
    (good) => withOptions(good, (options) => without(options, 'timeoutMs')),
  ),
];

const JOB_FAULTS: readonly PlantedFault[] = [
  inRuntime('a job never ends', ['jobs', 'createVm is a job with its times'], (good) => ({
    async getJob(jobId) {
      const job = await good.getJob(jobId);
      return job === undefined ? undefined : { ...without(job, 'endedAt'), status: 'running' };
    },
  })),
  inRuntime(
    'cancelJob answers and does nothing',
    ['jobs', 'cancelJob ends a waiting job, and the one before it goes on'],
    (good) => ({ cancelJob: async (jobId) => (await good.getJob(jobId)) ?? good.cancelJob(jobId) }),
  ),
  inRuntime(
    'an unknown job can be cancelled',
    ['jobs', 'cancelJob and getJob of an unknown id: an error and undefined'],
    (good) => ({
      cancelJob: (jobId) =>
        good.cancelJob(jobId).catch(() => ({ jobId, kind: 'createVm', status: 'cancelled', queuedAt: '' })),
    }),
  ),
  inOpening(
    'the history of jobs is not bounded',
    ['jobs', 'the history of a VM is bounded'],
    (good, options) => good.open(without(options, 'jobHistoryLimit')),
  ),
  inRuntime(
    'jobs are listed newest first',
    ['jobs', 'jobs are listed in the order they were asked for, and by VM'],
    (good) => ({ listJobs: async (filter) => (await good.listJobs(filter)).toReversed() }),
  ),
];

/** Changes the stream of events that a reader gets. */
function streaming(
  good: VmRuntime,
  change: (events: AsyncIterable<VmEvent>) => AsyncIterable<VmEvent>,
): Pick<VmRuntime, 'events'> {
  return { events: (options) => change(good.events(options)) };
}

async function* only(
  events: AsyncIterable<VmEvent>,
  keep: (event: VmEvent) => boolean,
): AsyncIterable<VmEvent> {
  for await (const event of events) if (keep(event)) yield event;
}

/** Tells each second change of state before the first. */
async function* outOfOrder(events: AsyncIterable<VmEvent>): AsyncIterable<VmEvent> {
  let kept: VmEvent | undefined;
  for await (const event of events) {
    if (event.type !== 'vm-state') yield event;
    else if (kept === undefined) kept = event;
    else {
      yield event;
      yield kept;
      kept = undefined;
    }
  }
  if (kept !== undefined) yield kept;
}

const EVENT_FAULTS: readonly PlantedFault[] = [
  inRuntime('events are out of order', ['events', 'each change of state is told, in order'], (good) =>
    streaming(good, outOfOrder),
  ),
  inRuntime(
    'a slow reader is not told that it missed something',
    ['events', 'a slow reader is told how much it missed, and loses the oldest'],
    (good) => streaming(good, (events) => only(events, ({ type }) => type !== 'lagged')),
  ),
  inRuntime(
    'running jobs are not told',
    ['events', 'each job is told as queued, running and ended, around what it changed'],
    (good) =>
      streaming(good, (events) =>
        only(events, (event) => event.type !== 'job' || event.job.status !== 'running'),
      ),
  ),
  inRuntime('new names are not told', ['events', 'snapshots, new names and forgotten VMs are told'], (good) =>
    streaming(good, (events) => only(events, ({ type }) => type !== 'vm-renamed')),
  ),
  inRuntime('two readers share one stream', ['events', 'two readers get the same'], (good) => {
    const shared = good.events()[Symbol.asyncIterator]();
    return {
      async *events(options) {
        const ended = new Promise<IteratorResult<VmEvent>>((resolve) =>
          options?.signal?.addEventListener('abort', () => resolve({ done: true, value: undefined })),
        );
        for (;;) {
          const result = await Promise.race([shared.next(), ended]);
          if (result.done === true) return;
          yield result.value;
        }
      },
    };
  }),
];

export const FAULTS_OF_JOBS = [...CALL_FAULTS, ...ABORT_FAULTS, ...JOB_FAULTS, ...EVENT_FAULTS];
