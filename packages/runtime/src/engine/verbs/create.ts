import { randomBytes } from 'node:crypto';
import { invalidArgument, unsupported, VmRuntimeError } from '../../contract/errors.js';
import { parseVmId } from '../../contract/ids.js';
import { parseVmSpec, resolveVmSpec, type ResolvedVmSpec, type VmSpec } from '../../contract/spec.js';
import type { VerbArgs } from '../../contract/verbs.js';
import type { RestoreSource } from '../../ports/driver.js';
import { endingOf } from '../ending.js';
import { featureOf } from '../driver-features.js';
import type { EngineContext } from '../engine-context.js';
import { guardFree, type Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { vmAnswer } from '../journalled.js';
import type { SnapshotManifest } from '../manifest.js';
import { NOTHING_PINNED, pinFiles, readOnlyFiles, withPinned, type Pinned } from '../pinned-files.js';
import { endedPatch, type RecordPatch } from '../record-patch.js';
import { RECORD_FORMAT, type JobResult, type VmRecord } from '../record.js';
import { pinRestored } from '../restored-files.js';
import { restoredSpec } from '../restored-spec.js';
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
  const { catalogue, content, store, defaults } = context;
  guardFree(context.fleet, args.vmId);
  const { restoreFrom, networkOverrides } = args.spec;
  if (restoreFrom === undefined) {
    const spec = resolveVmSpec(args.spec, defaults);
    await checkSpec(context, spec, args.spec);
    const pinned = await pinNew(context, spec, job.signal);
    return make(context, job, { args, spec, pinned, source: undefined, captured: undefined }).finally(() =>
      pinned.release(),
    );
  }
  const manifest = requireSnapshot(context, restoreFrom);
  const release = catalogue.hold(manifest.snapshotUid);
  try {
    if (hasAny(networkOverrides) && !context.capabilities.networkOverrides)
      throw unsupported('spec.networkOverrides');
    const directory = store.snapshotDirectory(manifest.snapshotUid) ?? manifest.snapshotUid;
    const spec = restoredSpec({ given: args.spec, defaults, manifest, directory });
    await checkSpec(context, spec, args.spec);
    const source = await checkSource(context, { given: args.spec, manifest, spec }, job.signal);
    const pinned = await pinRestored(content, args.spec, manifest, job.signal);
    return await make(context, job, { args, spec, pinned, source, captured: manifest }).finally(() =>
      pinned.release(),
    );
  } finally {
    release();
  }
}

/** Nothing may change or remove what the VM is going to read: from here on it reads the store's own files. */
function pinNew({ content }: EngineContext, spec: ResolvedVmSpec, signal: AbortSignal): Promise<Pinned> {
  if (content === undefined) return Promise.resolve(NOTHING_PINNED);
  return pinFiles(content, readOnlyFiles(spec), signal);
}

/** Refuses what the driver or this host cannot do, before any effect. */
async function checkSpec(
  { capabilities, driver }: EngineContext,
  spec: ResolvedVmSpec,
  given: VmSpec,
): Promise<void> {
  // Nothing could ever let such a VM go on.
  if (given.resumeImmediately === false && !capabilities.pause) throw unsupported('spec.resumeImmediately');
  if (hasAny(Object.keys(spec.env ?? {})) && !capabilities.guestAgent) throw unsupported('spec.env');
  refuseUnsupported(spec, capabilities);
  const { secrets = {}, ...others } = given;
  if (hasAny(Object.keys(secrets)) && !capabilities.guestAgent) throw unsupported('spec.secrets');
  // What a rule about other fields has let pass: the snapshot's guest has no agent.
  if (hasAny(Object.keys(secrets)) && spec.agent === 'none')
    throw invalidArgument('spec.secrets', 'nothing with agent: "none"');
  await driver.checkSpec(spec, others);
}

interface Plan {
  readonly args: CreateArgs;
  readonly spec: ResolvedVmSpec;
  readonly pinned: Pinned;
  readonly source: RestoreSource | undefined;
  /** The snapshot whose settings its agent has. */
  readonly captured: Pick<SnapshotManifest, 'spec' | 'secrets'> | undefined;
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
  const { args, spec, pinned, source } = plan;
  const { content, driver, store, journal } = context;
  const instanceId = randomBytes(16).toString('hex');
  const now = journal.stamp();
  const { vmId } = args;
  const secrets = [...new Set([...inheritedSecrets(plan), ...Object.keys(args.spec.secrets ?? {})])];
  const directory = store.vmDirectory(instanceId);
  const asDriven = content === undefined ? spec : withPinned(spec, pinned.files, content);
  return {
    format: RECORD_FORMAT,
    instanceId,
    vmId,
    state: 'created',
    spec,
    pinned: pinned.files,
    ...(secrets.length === 0 ? {} : { secrets }),
    plan: await driver.plan({ instanceId, vmId, spec: asDriven, directory, source }),
    createdAt: now,
    changedAt: now,
    ...(source === undefined ? {} : { restoredFrom: source.snapshotUid }),
    ...(source?.memory === true ? { memoryFrom: source.snapshotUid } : {}),
    operation: job.operation({ from: 'created' }),
    jobs: [],
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
  await featureOf(context.driver, 'snapshots').checkSnapshot(source, spec);
  await context.catalogue.verify(manifest, { full: false, signal });
  return source;
}

function incompatible(snapshotUid: string, reason: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_SNAPSHOT_INCOMPATIBLE', `restore snapshot ${snapshotUid}: ${reason}`, {
    details: { snapshotUid, reason },
  });
}
