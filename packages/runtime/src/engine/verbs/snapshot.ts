import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unsupported, VmRuntimeError } from '../../contract/errors.js';
import type { SnapshotRef } from '../../contract/provider.js';
import { isLive } from '../../contract/states.js';
import type { SnapshotView } from '../../contract/views.js';
import type { Captured, SnapshotPart } from '../../ports/driver.js';
import type { Core } from '../core.js';
import { guard, type Vm } from '../fleet.js';
import type { Job } from '../job.js';
import { MANIFEST_FORMAT, snapshotView, type ManifestPart, type SnapshotManifest } from '../manifest.js';
import { failJob } from '../settle.js';
import { findSnapshot, requireSnapshot, snapshotNotFound } from './snapshot-ref.js';

/** snapshotVm: memory and disks of a live VM at one moment, the disks alone of another. */
export async function snapshotVm(core: Core, vm: Vm, snapshotId: string, job: Job): Promise<SnapshotView> {
  guard(vm, 'snapshotVm');
  guardFreeName(core, vm, snapshotId);
  const memory = isLive(vm.record.state);
  requireCapability(core, memory);
  core.driver.checkCapture(core.driverVm(vm), memory);
  const snapshotUid = randomBytes(16).toString('hex');
  await core.begin(vm, job, { snapshotUid });
  try {
    const directory = await core.store.stageSnapshot(snapshotUid);
    await core.step(`${job.kind}:staged`);
    const { captured, pausedMs } = await capture(core, vm, job, { snapshotUid, directory, memory });
    await core.step(`${job.kind}:captured`);
    const parts = await describeParts(core, directory, captured.parts, job);
    const manifest = await describe(core, vm, job, {
      snapshotUid,
      snapshotId,
      memory,
      captured,
      pausedMs,
      parts,
    });
    await core.catalogue.publish(manifest);
    await core.step(`${job.kind}:published`);
    await core.commit(vm, job, {}, { snapshotUid });
    core.emit({ type: 'snapshot-published', snapshot: snapshotView(manifest) });
    return snapshotView(manifest);
  } catch (error) {
    return failJob(core, vm, job, error);
  }
}

/** deleteSnapshot, also of one whose manifest cannot be read. */
export async function deleteSnapshot(core: Core, ref: SnapshotRef, job: Job): Promise<void> {
  const snapshotUid = 'snapshotUid' in ref ? ref.snapshotUid : findSnapshot(core, ref)?.snapshotUid;
  if (snapshotUid === undefined || !core.catalogue.has(snapshotUid)) throw snapshotNotFound(ref);
  guardUnused(core, snapshotUid);
  await core.step(`${job.kind}:accepted`);
  // It may have gone, or come into use, during that step. Nothing may wait between this look and the removal.
  if (!core.catalogue.has(snapshotUid)) throw snapshotNotFound(ref);
  guardUnused(core, snapshotUid);
  await core.catalogue.remove(snapshotUid);
  core.driver.forgetSnapshot(snapshotUid);
  await core.step(`${job.kind}:committed`);
  core.emit({ type: 'snapshot-deleted', snapshotUid });
}

export async function verifySnapshot(core: Core, ref: SnapshotRef, job: Job): Promise<SnapshotView> {
  const manifest = requireSnapshot(core, ref);
  const release = core.catalogue.hold(manifest.snapshotUid);
  try {
    await core.catalogue.verify(manifest, { full: true, signal: job.signal });
    return snapshotView(manifest);
  } finally {
    release();
  }
}

function guardFreeName(core: Core, vm: Vm, snapshotId: string): void {
  const { vmId, instanceId } = vm.record;
  if (core.catalogue.find(instanceId, snapshotId) === undefined) return;
  throw new VmRuntimeError('MICROVM_SNAPSHOT_ALREADY_EXISTS', `"${vmId}" has a snapshot "${snapshotId}"`, {
    details: { vmId, snapshotId },
  });
}

function guardUnused(core: Core, snapshotUid: string): void {
  const users = [...core.fleet.all()]
    .filter(
      ({ record }) =>
        record.memoryFrom === snapshotUid && (isLive(record.state) || record.operation !== undefined),
    )
    .map(({ record }) => record.vmId);
  if (users.length === 0 && !core.catalogue.isHeld(snapshotUid)) return;
  throw new VmRuntimeError(
    'MICROVM_SNAPSHOT_IN_USE',
    `snapshot ${snapshotUid} is in use: ${users.join(', ')}`,
    {
      details: { snapshotUid, users },
    },
  );
}

function requireCapability(core: Core, memory: boolean): void {
  const { capabilities } = core.driver;
  if (memory && !capabilities.memorySnapshot) throw unsupported('a snapshot with memory');
  if (!memory && !capabilities.diskSnapshot) throw unsupported('a snapshot of disks alone');
}

interface Target {
  readonly snapshotUid: string;
  readonly directory: string | undefined;
  readonly memory: boolean;
}

async function capture(
  core: Core,
  vm: Vm,
  job: Job,
  target: Target,
): Promise<{ captured: Captured; pausedMs: number }> {
  const { driver, clock } = core;
  const isRunning = vm.record.state === 'running';
  const start = clock.now();
  if (isRunning) await core.perform(job, (run) => driver.pause(core.driverVm(vm), run));
  const captured = await core.perform(job, (run) => driver.capture(core.driverVm(vm), target, run));
  if (isRunning) await core.perform(job, (run) => driver.resume(core.driverVm(vm), 'pause', run));
  return { captured, pausedMs: isRunning ? clock.now() - start : 0 };
}

async function describeParts(
  core: Core,
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
    const digest = await core.catalogue.digest(path, job.signal);
    // st_blocks counts 512 bytes each, whatever the file system's block size.
    described.push({ ...part, sizeBytes: size, allocatedBytes: Math.min(size, blocks * 512), digest });
  }
  return described;
}

interface Facts {
  readonly snapshotUid: string;
  readonly snapshotId: string;
  readonly memory: boolean;
  readonly captured: Captured;
  readonly pausedMs: number;
  readonly parts: readonly ManifestPart[];
}

async function describe(core: Core, vm: Vm, job: Job, facts: Facts): Promise<SnapshotManifest> {
  const { snapshotUid, snapshotId, memory, captured, pausedMs, parts } = facts;
  const { instanceId, spec } = vm.record;
  const kernel = await core.catalogue.pin(spec.kernelPath, job.signal);
  const initrd = await core.catalogue.pin(spec.initrdPath, job.signal);
  return {
    format: MANIFEST_FORMAT,
    snapshotUid,
    snapshotId,
    instanceId,
    kind: memory ? 'memory' : 'disk',
    createdAt: core.stamp(),
    pausedMs,
    diskCopy: captured.diskCopy,
    driver: core.driver.name,
    vmmVersion: captured.vmmVersion,
    compatibility: captured.compatibility,
    spec,
    pinned: { ...(kernel === undefined ? {} : { kernel }), ...(initrd === undefined ? {} : { initrd }) },
    parts,
  };
}
