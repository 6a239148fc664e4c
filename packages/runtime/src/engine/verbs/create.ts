import { randomBytes } from 'node:crypto';
import { deepFreeze } from '../../contract/deep-freeze.js';
import { invalidArgument, unsupported, VmRuntimeError } from '../../contract/errors.js';
import { parseVmId } from '../../contract/ids.js';
import {
  FREE_ON_RESTORE,
  parseVmSpec,
  RESTORE_FIELDS,
  resolveVmSpec,
  type ResolvedVmSpec,
  type VmSpec,
} from '../../contract/spec.js';
import type { VerbArgs } from '../../contract/verbs.js';
import type { RestoreSource } from '../../ports/driver.js';
import { endingOf } from '../ending.js';
import type { EngineContext } from '../engine-context.js';
import { guardFree, refuseContradiction, type Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { vmAnswer } from '../journalled.js';
import type { SnapshotManifest } from '../manifest.js';
import { endedPatch, type RecordPatch } from '../record-patch.js';
import { RECORD_FORMAT, type JobResult, type VmRecord } from '../record.js';
import { failJob, undone, type Settlement } from '../settlement.js';
import { hasAny, refuseUnsupported } from '../spec-features.js';
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
  answer: vmAnswer,
};

function parseSpec(value: unknown, path: string): VmSpec {
  const spec = parseVmSpec(value, path);
  if (spec.restoreFrom !== undefined) parseSnapshotRef(spec.restoreFrom, `${path}.restoreFrom`);
  return spec;
}

async function execute(context: EngineContext, args: CreateArgs, job: Job): Promise<JobResult> {
  const { catalogue, driver, defaults } = context;
  guardFree(context.fleet, args.vmId);
  const { restoreFrom, networkOverrides } = args.spec;
  if (restoreFrom === undefined) {
    const spec = resolveVmSpec(args.spec, defaults);
    await checkSpec(context, spec, args.spec);
    return make(context, job, { args, spec, source: undefined });
  }
  const manifest = requireSnapshot(context, restoreFrom);
  const release = catalogue.hold(manifest.snapshotUid);
  try {
    if (hasAny(networkOverrides) && !driver.capabilities.networkOverrides)
      throw unsupported('spec.networkOverrides');
    const spec = restoredSpec(args.spec, manifest);
    await checkSpec(context, spec, args.spec);
    const source = await checkSource(context, { given: args.spec, manifest, spec }, job.signal);
    return await make(context, job, { args, spec, source });
  } finally {
    release();
  }
}

/** Refuses what the driver or this host cannot do, before any effect. */
async function checkSpec({ driver }: EngineContext, spec: ResolvedVmSpec, given: VmSpec): Promise<void> {
  const { capabilities } = driver;
  // Nothing could ever let such a VM go on.
  if (given.resumeImmediately === false && !capabilities.pause) throw unsupported('spec.resumeImmediately');
  refuseUnsupported(spec, capabilities);
  await driver.checkSpec(spec, given);
}

interface Plan {
  readonly args: CreateArgs;
  readonly spec: ResolvedVmSpec;
  readonly source: RestoreSource | undefined;
}

async function make(context: EngineContext, job: Job, plan: Plan): Promise<JobResult> {
  const { fleet, store, journal } = context;
  const tombstone = fleet.get(plan.args.vmId);
  await journal.step(`${job.kind}:accepted`);
  job.signal.throwIfAborted();
  const record = newRecord(context, job, plan);
  const vm = fleet.add(record);
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
  { args, source }: Plan,
): Promise<RecordPatch> {
  if (source === undefined) {
    const { vmm } = await calls.perform(job, (run) => driver.prepare(calls.driverVm(vm), run));
    return { state: 'created', vmm };
  }
  const { vmm } = await calls.perform(job, (run) => driver.restore(calls.driverVm(vm), source, run));
  if (!source.memory) return { state: 'created', vmm };
  journal.changeInMemory(vm, { vmm });
  if (args.spec.resumeImmediately === false) return { state: 'paused', vmm, unrepaired: true };
  await calls.perform(job, (run) => driver.resume(calls.driverVm(vm), 'restore', run));
  return { state: 'running', vmm };
}

/** Removes all that was made. A VM of which nothing lives is gone, even if its folder cannot be removed: that is swept at the next open. */
async function undoCreate({ calls, store }: EngineContext, vm: Vm): Promise<Settlement> {
  const left = await calls.release(vm);
  if (left.length > 0) return undone({ ...endedPatch(endingOf('lost')), cleanup: { left } });
  const { vmId, instanceId } = vm.record;
  await store
    .removeVm(instanceId)
    .catch((error: unknown) => warnOf(`remove the folder of "${vmId}", which was not made`, error));
  return { gone: true, outcome: 'undone' };
}

function newRecord(context: EngineContext, job: Job, { args, spec, source }: Plan): VmRecord {
  const { driver, store, journal } = context;
  const instanceId = randomBytes(16).toString('hex');
  const now = journal.stamp();
  const { vmId } = args;
  const directory = store.vmDirectory(instanceId);
  return {
    format: RECORD_FORMAT,
    instanceId,
    vmId,
    state: 'created',
    spec,
    plan: driver.plan({ instanceId, vmId, spec, directory }),
    createdAt: now,
    changedAt: now,
    ...(source === undefined ? {} : { restoredFrom: source.snapshotUid }),
    ...(source?.memory === true ? { memoryFrom: source.snapshotUid } : {}),
    operation: job.operation({ from: 'created' }),
    jobs: [],
  };
}

/** The snapshot's spec with the fields that a restore may choose anew. Fields that contradict it are refused. */
function restoredSpec(given: VmSpec, manifest: SnapshotManifest): ResolvedVmSpec {
  const free: readonly string[] = FREE_ON_RESTORE;
  const ofRestore: readonly string[] = RESTORE_FIELDS;
  const chosen: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(given)) {
    if (value === undefined || ofRestore.includes(field)) continue;
    if (free.includes(field)) chosen[field] = value;
    else refuseContradiction(`spec.${field}`, value, manifest.spec[field as keyof ResolvedVmSpec]);
  }
  return deepFreeze({ ...manifest.spec, ...chosen, ...overriddenInterfaces(given, manifest.spec) });
}

/** The overrides are what the VM is from now on: a cold boot later finds the same TAPs. */
function overriddenInterfaces(
  { networkOverrides = [] }: VmSpec,
  { networkInterfaces = [] }: ResolvedVmSpec,
): Pick<ResolvedVmSpec, 'networkInterfaces'> {
  const unknown = networkOverrides.findIndex(
    ({ ifaceId }) => !networkInterfaces.some((nic) => nic.ifaceId === ifaceId),
  );
  if (unknown >= 0) {
    throw invalidArgument(`spec.networkOverrides[${unknown}].ifaceId`, 'an interface that the snapshot has');
  }
  if (networkOverrides.length === 0) return {};
  return {
    networkInterfaces: networkInterfaces.map((nic) => ({
      ...nic,
      ...networkOverrides.find(({ ifaceId }) => ifaceId === nic.ifaceId),
    })),
  };
}

interface Restoration {
  readonly given: VmSpec;
  readonly manifest: SnapshotManifest;
  readonly spec: ResolvedVmSpec;
}

async function checkSource(
  context: EngineContext,
  { given, manifest, spec }: Restoration,
  signal: AbortSignal,
): Promise<RestoreSource> {
  const { snapshotUid, parts, vmmVersion, compatibility } = manifest;
  if (manifest.driver !== context.driver.name) {
    throw incompatible(
      snapshotUid,
      `it was taken by driver "${manifest.driver}", this is "${context.driver.name}"`,
    );
  }
  const source: RestoreSource = {
    snapshotUid,
    directory: context.store.snapshotDirectory(snapshotUid),
    memory: manifest.kind === 'memory',
    parts,
    vmmVersion,
    compatibility,
    networkOverrides: given.networkOverrides ?? [],
  };
  await context.driver.checkSnapshot(source, spec);
  await context.catalogue.verify(manifest, { full: false, signal });
  if (!source.memory) await checkPins(context, manifest, signal);
  return source;
}

// A cold boot from a disk snapshot uses kernel and initrd by their paths: they must be the ones it was taken with.
async function checkPins(
  context: EngineContext,
  { snapshotUid, spec, pinned }: SnapshotManifest,
  signal: AbortSignal,
): Promise<void> {
  const paths = { kernel: spec.kernelPath, initrd: spec.initrdPath };
  for (const name of ['kernel', 'initrd'] as const) {
    const expected = pinned[name];
    if (expected === undefined) continue;
    const actual = await context.catalogue.pin(paths[name], signal).catch(() => undefined);
    if (actual?.digest !== expected.digest) {
      throw incompatible(snapshotUid, `the ${name} at "${paths[name]}" is not the one it was taken with`);
    }
  }
}

function incompatible(snapshotUid: string, reason: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_SNAPSHOT_INCOMPATIBLE', `restore snapshot ${snapshotUid}: ${reason}`, {
    details: { snapshotUid, reason },
  });
}
