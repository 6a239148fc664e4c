import pLimit from 'p-limit';
import type { RecoveryReport } from '../contract/runtime.js';
import { isLive } from '../contract/states.js';
import type { InterruptedOutcome } from '../contract/views.js';
import type { Core } from './core.js';
import type { Vm } from './fleet.js';
import type { FinishedJob, OperationRecord } from './record.js';
import { askVmm, settle } from './settle.js';
import type { LoadedState } from './state-store.js';

const VMS_AT_ONCE = 16;

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer U)[] ? U[] : T[K] };

/** Makes the world and the records agree after whatever ended the last owner; says what it found and did. */
export async function recover(core: Core, loaded: LoadedState): Promise<RecoveryReport> {
  const report: Mutable<RecoveryReport> = {
    adopted: [],
    ended: [],
    interrupted: [],
    swept: [...loaded.leftovers],
    corruptSnapshots: [...loaded.corruptSnapshots],
  };
  await core.store.removeLeftovers(loaded.leftovers);
  takeIn(core, loaded);
  const alive = await core.driver.survey();
  const limit = pLimit(VMS_AT_ONCE);
  await limit.map([...core.fleet.all()], (vm) => recoverVm(core, vm, alive, report));
  await buryReplaced(core, loaded);
  return report;
}

function takeIn(core: Core, loaded: LoadedState): void {
  core.catalogue.load(loaded.manifests, loaded.corruptSnapshots);
  for (const job of loaded.jobs) core.book.end(job, false);
  // Tombstones first: where an id has been taken again, it belongs to the VM that lives.
  const isTombstone = (state: string): number => (state === 'destroyed' ? 0 : 1);
  for (const record of [...loaded.records].sort((a, b) => isTombstone(a.state) - isTombstone(b.state))) {
    core.fleet.add(record);
    for (const job of record.jobs) core.book.end(job, true);
  }
}

async function recoverVm(
  core: Core,
  vm: Vm,
  alive: ReadonlySet<string>,
  report: Mutable<RecoveryReport>,
): Promise<void> {
  const { state, operation, instanceId, vmId } = vm.record;
  if (operation !== undefined) return endInterrupted(core, vm, operation, report);
  if (isLive(state)) {
    await core.write(vm, await askVmm(core, vm));
    const now = vm.record.state;
    (isLive(now) ? report.adopted : report.ended).push({ vmId, instanceId, state: now });
    return;
  }
  const mayHaveVmm = state === 'created';
  if (!mayHaveVmm && alive.has(instanceId)) {
    await core.write(vm, { cleanup: await core.halt(vm), vmm: undefined });
    report.swept.push(`VMM of ${instanceId}`);
  }
}

async function endInterrupted(
  core: Core,
  vm: Vm,
  operation: OperationRecord,
  report: Mutable<RecoveryReport>,
): Promise<void> {
  const { vmId } = vm.record;
  const { jobId, kind } = operation;
  const { gone, patch, outcome } = await settle(core, vm, operation, 'crash');
  const finished = interruptedJob(core, operation, vmId, outcome);
  if (gone) {
    core.fleet.remove(vm);
    core.book.end(finished, false);
    await core.store.saveJob(finished);
    report.interrupted.push({ jobId, kind, vmId, outcome });
    return;
  }
  core.book.end(finished, true);
  const jobs = core.book.appendTo(vm.record.jobs, finished);
  await core.write(vm, { ...patch, operation: undefined, jobs });
  report.interrupted.push({ jobId, kind, vmId, outcome, state: vm.record.state });
}

function interruptedJob(
  core: Core,
  operation: OperationRecord,
  vmId: string,
  outcome: InterruptedOutcome,
): FinishedJob {
  const { jobId, kind, idempotencyKey, request, queuedAt, startedAt } = operation;
  return {
    jobId,
    kind,
    vmId,
    status: 'interrupted',
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(request === undefined ? {} : { request }),
    queuedAt,
    startedAt,
    endedAt: core.stamp(),
    outcome,
  };
}

/** A crash between the commit of a new VM and the removal of the tombstone it replaces leaves both. */
async function buryReplaced(core: Core, loaded: LoadedState): Promise<void> {
  for (const record of loaded.records.filter(({ state }) => state === 'destroyed')) {
    const owner = core.fleet.get(record.vmId);
    if (owner === undefined) core.fleet.add(record);
    else if (owner.record.instanceId !== record.instanceId) {
      const tombstone = core.fleet.byInstance(record.instanceId);
      if (tombstone !== undefined) core.fleet.remove(tombstone);
      await core.store.removeVm(record.instanceId);
    }
  }
}
