import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unsupported, VmRuntimeError } from '../../contract/errors.js';
import { parseSnapshotId, parseVmId } from '../../contract/ids.js';
import { parseFlag } from '../../contract/options.js';
import { isLive } from '../../contract/states.js';
import type { Captured, SnapshotPart } from '../../ports/driver.js';
import { featureOf } from '../driver-features.js';
import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { change, onVm, type Work } from '../journalled.js';
import { MANIFEST_FORMAT, snapshotView, type ManifestPart, type SnapshotManifest } from '../manifest.js';
import { portableSpec } from '../portable-spec.js';
import type { JobResult, OperationRecord } from '../record.js';
import { asFound, askVmm, removeUnpublished, undone, type Settlement } from '../settlement.js';
import type { Verb } from '../verb.js';
import { snapshotNotFound } from './snapshot-ref.js';

/** Memory and disks of a live VM at one moment, the disks alone of another. */
export const snapshotVm: Verb<'snapshotVm'> = {
  ...onVm('snapshotVm', perform),
  parse: { vmId: parseVmId, snapshotId: parseSnapshotId, allowSecrets: parseFlag },
  needs: ['memorySnapshot', 'diskSnapshot'],
  journal: 'effects',
  ownSteps: ['staged', 'captured', 'published'],
  settle: undoSnapshot,
  answer({ catalogue }, { snapshotUid = '' }) {
    const manifest = catalogue.get(snapshotUid);
    if (manifest === undefined) throw snapshotNotFound({ snapshotUid });
    return snapshotView(manifest);
  },
};

async function perform(context: EngineContext, { vm, args, job }: Work<'snapshotVm'>): Promise<JobResult> {
  const { snapshotId } = args;
  guardFreeName(context, vm, snapshotId);
  const memory = isLive(vm.record.state);
  requireCapability(context, memory);
  const secrets = memory ? vm.told.secrets.inMemory : [];
  if (secrets.length > 0 && args.allowSecrets !== true) throw secretsPresent(vm, secrets);
  featureOf(context.driver, 'snapshots').checkCapture?.(context.calls.driverVm(vm), memory);
  const snapshotUid = randomBytes(16).toString('hex');
  return change(context, vm, job, {
    intent: { snapshotUid },
    async effects() {
      const manifest = await publish(context, vm, job, { snapshotUid, snapshotId, memory, secrets });
      const event = { type: 'snapshot-published', snapshot: snapshotView(manifest) } as const;
      return { patch: {}, result: { snapshotUid }, event };
    },
    settle: undoSnapshot,
  });
}

interface Wanted {
  readonly snapshotUid: string;
  readonly snapshotId: string;
  readonly memory: boolean;
  /** Names of those that the memory may hold. */
  readonly secrets: readonly string[];
}

async function publish(context: EngineContext, vm: Vm, job: Job, wanted: Wanted): Promise<SnapshotManifest> {
  const { store, journal, catalogue } = context;
  const { snapshotUid, memory } = wanted;
  const directory = await store.stageSnapshot(snapshotUid);
  await journal.step(`${job.kind}:staged`);
  const { captured, pausedMs } = await capture(context, vm, job, { snapshotUid, directory, memory });
  await journal.step(`${job.kind}:captured`);
  const parts = await describeParts(context, directory, captured.parts, job);
  const manifest = describe(context, vm, { ...wanted, captured, pausedMs, parts });
  await catalogue.publish(manifest);
  await journal.step(`${job.kind}:published`);
  return manifest;
}

async function undoSnapshot(
  context: EngineContext,
  vm: Vm,
  { from, snapshotUid }: OperationRecord,
): Promise<Settlement> {
  await removeUnpublished(context, snapshotUid);
  if (from !== 'running' && from !== 'paused') return undone({});
  const truth = await askVmm(context, vm);
  if (from !== 'running' || truth.state !== 'paused') return undone(truth);
  const { calls, driver } = context;
  try {
    await calls.bounded((run) => featureOf(driver, 'pausing').resume(calls.driverVm(vm), 'pause', run));
    return undone({ ...truth, state: 'running' });
  } catch {
    return asFound(await askVmm(context, vm));
  }
}

function guardFreeName({ catalogue }: EngineContext, vm: Vm, snapshotId: string): void {
  const { vmId, instanceId } = vm.record;
  if (catalogue.find(instanceId, snapshotId) === undefined) return;
  throw new VmRuntimeError('MICROVM_SNAPSHOT_ALREADY_EXISTS', `"${vmId}" has a snapshot "${snapshotId}"`, {
    details: { vmId, snapshotId },
  });
}

function secretsPresent(vm: Vm, names: readonly string[]): VmRuntimeError {
  const { vmId } = vm.record;
  return new VmRuntimeError(
    'MICROVM_SECRETS_PRESENT',
    `snapshot of "${vmId}": its memory holds ${names.join(', ')}`,
    { details: { vmId, names } },
  );
}

function requireCapability({ capabilities }: EngineContext, memory: boolean): void {
  if (memory && !capabilities.memorySnapshot) throw unsupported('a snapshot with memory');
  if (!memory && !capabilities.diskSnapshot) throw unsupported('a snapshot of disks alone');
}

interface Target {
  readonly snapshotUid: string;
  readonly directory: string | undefined;
  readonly memory: boolean;
}

async function capture(
  { calls, driver, clock }: EngineContext,
  vm: Vm,
  job: Job,
  target: Target,
): Promise<{ captured: Captured; pausedMs: number }> {
  const isRunning = vm.record.state === 'running';
  const start = clock.monotonic();
  if (isRunning)
    await calls.perform(job, (run) => featureOf(driver, 'pausing').pause(calls.driverVm(vm), run));
  const captured = await calls.perform(job, (run) =>
    featureOf(driver, 'snapshots').capture(calls.driverVm(vm), target, run),
  );
  if (isRunning)
    await calls.perform(job, (run) => featureOf(driver, 'pausing').resume(calls.driverVm(vm), 'pause', run));
  return { captured, pausedMs: isRunning ? Math.round(clock.monotonic() - start) : 0 };
}

async function describeParts(
  context: EngineContext,
  directory: string | undefined,
  parts: readonly SnapshotPart[],
  job: Job,
): Promise<ManifestPart[]> {
  if (directory === undefined) return [];
  const described: ManifestPart[] = [];
  for (const part of parts) {
    const path = join(directory, part.name);
    const { size, blocks } = await stat(path);
    job.progress({ step: `digest ${part.name}`, done: described.length, total: parts.length, unit: 'steps' });
    const digest = await context.catalogue.digest(path, job.signal);
    // st_blocks counts 512 bytes each, whatever the file system's block size.
    described.push({ ...part, sizeBytes: size, allocatedBytes: Math.min(size, blocks * 512), digest });
  }
  return described;
}

interface Facts extends Wanted {
  readonly captured: Captured;
  readonly pausedMs: number;
  readonly parts: readonly ManifestPart[];
}

function describe(context: EngineContext, vm: Vm, facts: Facts): SnapshotManifest {
  const { snapshotUid, snapshotId, memory, secrets, captured, pausedMs, parts } = facts;
  const { instanceId, spec, pinned, image } = vm.record;
  return {
    format: MANIFEST_FORMAT,
    snapshotUid,
    snapshotId,
    instanceId,
    kind: memory ? 'memory' : 'disk',
    createdAt: context.journal.stamp(),
    pausedMs,
    diskCopy: captured.diskCopy,
    driver: context.driver.name,
    vmmVersion: captured.vmmVersion,
    compatibility: captured.compatibility,
    spec: portableSpec(spec),
    ...(secrets.length === 0 ? {} : { secrets }),
    pinned,
    ...(image === undefined ? {} : { image }),
    parts,
  };
}
