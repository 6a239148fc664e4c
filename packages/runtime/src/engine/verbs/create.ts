import { randomBytes } from 'node:crypto';
import { deepFreeze } from '../../contract/deep-freeze.js';
import { invalidArgument, unsupported, VmRuntimeError } from '../../contract/errors.js';
import {
  FREE_ON_RESTORE,
  RESTORE_FIELDS,
  resolveVmSpec,
  type ResolvedVmSpec,
  type VmSpec,
} from '../../contract/spec.js';
import type { VmView } from '../../contract/views.js';
import type { RestoreSource } from '../../ports/driver.js';
import type { Core, RecordPatch } from '../core.js';
import { guardFree, refuseContradiction, type Vm } from '../fleet.js';
import type { Job } from '../job.js';
import type { SnapshotManifest } from '../manifest.js';
import { RECORD_FORMAT, type VmRecord } from '../record.js';
import { failJob } from '../settle.js';
import { hasAny, refuseUnsupported } from '../spec-features.js';
import { requireSnapshot } from './snapshot-ref.js';

export interface CreateRequest {
  readonly vmId: string;
  readonly spec: VmSpec;
  readonly defaults: VmSpec;
}

/** createVm and createVmWithSpec: a cold VM, or one from a snapshot. */
export async function createVm(core: Core, request: CreateRequest, job: Job): Promise<VmView> {
  guardFree(core.fleet, request.vmId);
  const { restoreFrom } = request.spec;
  if (restoreFrom === undefined) {
    const spec = resolveVmSpec(request.spec, request.defaults);
    await checkSpec(core, spec, request.spec);
    return make(core, job, { request, spec, source: undefined });
  }
  const manifest = requireSnapshot(core, restoreFrom);
  const release = core.catalogue.hold(manifest.snapshotUid);
  try {
    if (hasAny(request.spec.networkOverrides) && !core.driver.capabilities.networkOverrides)
      throw unsupported('spec.networkOverrides');
    const spec = restoredSpec(request.spec, manifest);
    await checkSpec(core, spec, request.spec);
    const source = await checkSource(core, { given: request.spec, manifest, spec }, job.signal);
    return await make(core, job, { request, spec, source });
  } finally {
    release();
  }
}

/** Refuses what the driver or this host cannot do, before any effect. */
async function checkSpec(core: Core, spec: ResolvedVmSpec, given: VmSpec): Promise<void> {
  const { capabilities } = core.driver;
  // Nothing could ever let such a VM go on.
  if (given.resumeImmediately === false && !capabilities.pause) throw unsupported('spec.resumeImmediately');
  refuseUnsupported(spec, capabilities);
  await core.driver.checkSpec(spec, given);
}

interface Plan {
  readonly request: CreateRequest;
  readonly spec: ResolvedVmSpec;
  readonly source: RestoreSource | undefined;
}

async function make(core: Core, job: Job, plan: Plan): Promise<VmView> {
  const tombstone = core.fleet.get(plan.request.vmId);
  await core.step(`${job.kind}:accepted`);
  job.signal.throwIfAborted();
  const record = newRecord(core, job, plan);
  const vm = core.fleet.add(record);
  try {
    await core.store.createVm(record);
    await core.step(`${job.kind}:intent`);
    const patch = await makeEffects(core, vm, job, plan);
    await core.commit(vm, job, patch);
  } catch (error) {
    const reason: unknown = await failJob(core, vm, job, error).catch((thrown: unknown) => thrown);
    if (tombstone !== undefined && core.fleet.get(plan.request.vmId) === undefined)
      core.fleet.add(tombstone.record);
    throw reason;
  }
  if (tombstone !== undefined) await bury(core, tombstone);
  return core.view(vm);
}

async function makeEffects(core: Core, vm: Vm, job: Job, { request, source }: Plan): Promise<RecordPatch> {
  const { driver } = core;
  if (source === undefined) {
    const { vmm } = await core.perform(job, (run) => driver.prepare(core.driverVm(vm), run));
    return { state: 'created', vmm };
  }
  const { vmm } = await core.perform(job, (run) => driver.restore(core.driverVm(vm), source, run));
  if (!source.memory) return { state: 'created', vmm };
  vm.record = core.patched(vm.record, { vmm });
  if (request.spec.resumeImmediately === false) return { state: 'paused', vmm, unrepaired: true };
  await core.perform(job, (run) => driver.resume(core.driverVm(vm), 'restore', run));
  return { state: 'running', vmm };
}

function newRecord(core: Core, job: Job, { request, spec, source }: Plan): VmRecord {
  const instanceId = randomBytes(16).toString('hex');
  const now = core.stamp();
  const { vmId } = request;
  const directory = core.store.vmDirectory(instanceId);
  return {
    format: RECORD_FORMAT,
    instanceId,
    vmId,
    state: 'created',
    spec,
    plan: core.driver.plan({ instanceId, vmId, spec, directory }),
    createdAt: now,
    changedAt: now,
    ...(source === undefined ? {} : { restoredFrom: source.snapshotUid }),
    ...(source?.memory === true ? { memoryFrom: source.snapshotUid } : {}),
    operation: job.operation({ from: 'created' }),
    jobs: [],
  };
}

/** A tombstone gives way once the id has a new VM: not before, as a failed create changes nothing. */
async function bury(core: Core, tombstone: Vm): Promise<void> {
  core.book.drop(tombstone.record.jobs);
  core.fleet.remove(tombstone);
  await core.store.removeVm(tombstone.record.instanceId);
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
  core: Core,
  { given, manifest, spec }: Restoration,
  signal: AbortSignal,
): Promise<RestoreSource> {
  const { snapshotUid, parts, vmmVersion, compatibility } = manifest;
  if (manifest.driver !== core.driver.name) {
    throw incompatible(
      snapshotUid,
      `it was taken by driver "${manifest.driver}", this is "${core.driver.name}"`,
    );
  }
  const source: RestoreSource = {
    snapshotUid,
    directory: core.store.snapshotDirectory(snapshotUid),
    memory: manifest.kind === 'memory',
    parts,
    vmmVersion,
    compatibility,
    networkOverrides: given.networkOverrides ?? [],
  };
  await core.driver.checkSnapshot(source, spec);
  await core.catalogue.verify(manifest, { full: false, signal });
  if (!source.memory) await checkPins(core, manifest, signal);
  return source;
}

// A cold boot from a disk snapshot uses kernel and initrd by their paths: they must be the ones it was taken with.
async function checkPins(
  core: Core,
  { snapshotUid, spec, pinned }: SnapshotManifest,
  signal: AbortSignal,
): Promise<void> {
  const paths = { kernel: spec.kernelPath, initrd: spec.initrdPath };
  for (const name of ['kernel', 'initrd'] as const) {
    const expected = pinned[name];
    if (expected === undefined) continue;
    const actual = await core.catalogue.pin(paths[name], signal).catch(() => undefined);
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
