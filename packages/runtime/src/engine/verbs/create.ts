import { randomBytes } from 'node:crypto';
import { parseVmId } from '../../contract/ids.js';
import { parseVmSpec, type VmSpec } from '../../contract/spec.js';
import type { VerbArgs } from '../../contract/verbs.js';
import { drivenSpec } from '../driven-spec.js';
import { featureOf } from '../driver-features.js';
import { endingOf } from '../ending.js';
import type { EngineContext } from '../engine-context.js';
import { guardFree, type Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { vmAnswer } from '../journalled.js';
import { planNew, planRestored, type Plan } from '../plan-vm.js';
import { endedPatch, type RecordPatch } from '../record-patch.js';
import { RECORD_FORMAT, type JobResult, type VmRecord } from '../record.js';
import { failJob, undone, type Settlement } from '../settlement.js';
import { hasAny } from '../spec-features.js';
import type { Verb } from '../verb.js';
import { warnOf } from '../warn-of.js';
import { parseSnapshotRef, requireSnapshot } from './snapshot-ref.js';
import { replaceTombstone } from './tombstone.js';

type CreateArgs = VerbArgs<'createVm'>;

/** A cold VM, or one from a snapshot. */
export const createVm: Verb<'createVm'> = {
  kind: 'createVm',
  parse: { vmId: parseVmId, spec: parseSpec },
  needs: [],
  journal: 'effects',
  names: ({ vmId }) => [vmId],
  subject: () => undefined,
  execute,
  settle: undoCreate,
  withoutSecrets,
  answer: vmAnswer,
};

function parseSpec(value: unknown, path: string): VmSpec {
  const spec = parseVmSpec(value, path);
  if (spec.restoreFrom !== undefined) parseSnapshotRef(spec.restoreFrom, `${path}.restoreFrom`);
  return spec;
}

function withoutSecrets({ vmId, spec: { secrets, ...spec } }: CreateArgs): {
  readonly args: object;
  readonly secrets: unknown;
} {
  const names = secrets === undefined ? {} : { secrets: Object.keys(secrets) };
  return { args: { vmId, spec: { ...spec, ...names } }, secrets };
}

async function execute(context: EngineContext, args: CreateArgs, job: Job): Promise<JobResult> {
  guardFree(context.fleet, args.vmId);
  const { restoreFrom } = args.spec;
  if (restoreFrom === undefined) return makePlanned(context, job, planNew(context, args, job));
  const manifest = requireSnapshot(context, restoreFrom);
  const release = context.catalogue.hold(manifest.snapshotUid);
  return makePlanned(context, job, planRestored(context, args, { manifest, job })).finally(release);
}

async function makePlanned(context: EngineContext, job: Job, planning: Promise<Plan>): Promise<JobResult> {
  const plan = await planning;
  try {
    return await make(context, job, plan);
  } finally {
    for (const hold of plan.holds) hold.release?.();
  }
}

async function make(context: EngineContext, job: Job, plan: Plan): Promise<JobResult> {
  const { fleet, store, journal } = context;
  const tombstone = fleet.get(plan.args.vmId);
  await journal.step(`${job.kind}:accepted`);
  job.signal.throwIfAborted();
  const record = await newRecord(context, job, plan);
  const vm = fleet.add(record);
  for (const [name, value] of Object.entries(plan.args.spec.secrets ?? {})) vm.told.secrets.give(name, value);
  try {
    await store.createVm(record);
    await journal.step(`${job.kind}:intent`);
    await journal.commit(vm, job, await makeEffects(context, vm, job, plan));
  } catch (error) {
    const failing = { error, settle: undoCreate, asksNothing: true };
    const reason: unknown = await failJob(context, vm, job, failing).catch((thrown: unknown) => thrown);
    if (tombstone !== undefined && fleet.get(plan.args.vmId) === undefined) fleet.add(tombstone.record);
    throw reason;
  }
  if (tombstone !== undefined) await replaceTombstone(context, tombstone);
  return { instanceId: record.instanceId };
}

async function makeEffects(
  { calls, driver, journal }: EngineContext,
  vm: Vm,
  job: Job,
  plan: Plan,
): Promise<RecordPatch> {
  const { args, spec, source, captured } = plan;
  if (source === undefined) {
    const { vmm } = await calls.perform(job, (run) => driver.prepare(calls.driverVm(vm), run));
    return { state: 'created', vmm };
  }
  const { vmm } = await calls.perform(job, (run) =>
    featureOf(driver, 'snapshots').restore(calls.driverVm(vm), source, run),
  );
  if (!source.memory) return { state: 'created', vmm };
  journal.changeInMemory(vm, { vmm });
  if ([spec, captured?.spec].some((one) => hasAny(Object.keys(one?.env ?? {})))) vm.told.doubtEnvironment();
  vm.told.secrets.inherit(captured?.secrets ?? [], inheritedSecrets(plan));
  if (args.spec.resumeImmediately === false) return { state: 'paused', vmm, unrepaired: true };
  await calls.perform(job, (run) => featureOf(driver, 'pausing').resume(calls.driverVm(vm), 'restore', run));
  vm.told.done();
  return { state: 'running', vmm };
}

/**
 * Removes all that was made. A VM of which nothing lives is gone, even if its folder cannot be removed: the
 * next open sweeps the folder.
 */
async function undoCreate({ calls, store }: EngineContext, vm: Vm): Promise<Settlement> {
  const left = await calls.release(vm);
  if (left.length > 0) return undone({ ...endedPatch(endingOf('lost')), cleanup: { left } });
  const { vmId, instanceId } = vm.record;
  await store
    .removeVm(instanceId)
    .catch((error: unknown) => warnOf(`remove the folder of "${vmId}", which was not made`, error));
  return { gone: true, outcome: 'undone' };
}

/** Names of the snapshot's secrets that stay in the guest. */
function inheritedSecrets({ args, captured }: Plan): readonly string[] {
  return args.spec.inheritSecrets === true ? (captured?.secrets ?? []) : [];
}

async function newRecord(context: EngineContext, job: Job, plan: Plan): Promise<VmRecord> {
  const { args, spec, pinned, image, disk, source } = plan;
  const { content, driver, store, journal } = context;
  const instanceId = randomBytes(16).toString('hex');
  const now = journal.stamp();
  const { vmId } = args;
  const secrets = [...new Set([...inheritedSecrets(plan), ...Object.keys(args.spec.secrets ?? {})])];
  const directory = store.vmDirectory(instanceId);
  const driven = drivenSpec({ spec, image, pinned }, content, disk);
  return {
    format: RECORD_FORMAT,
    instanceId,
    vmId,
    state: 'created',
    spec,
    pinned,
    ...(image === undefined ? {} : { image }),
    ...(secrets.length === 0 ? {} : { secrets }),
    plan: await driver.plan({ instanceId, vmId, spec: driven, directory, source }),
    createdAt: now,
    changedAt: now,
    ...(source === undefined ? {} : { restoredFrom: source.snapshotUid }),
    ...(source?.memory === true ? { memoryFrom: source.snapshotUid } : {}),
    operation: job.operation({ from: 'created' }),
    jobs: [],
  };
}
