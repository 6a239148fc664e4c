import pLimit from 'p-limit';
import type { RecoveryReport, Sweep } from '../contract/runtime.js';
import { isLive } from '../contract/states.js';
import type { InterruptedOutcome } from '../contract/views.js';
import { sweepAll } from '../ports/sweep.js';
import { configureIfReachable } from './configure.js';
import type { EngineContext } from './engine-context.js';
import type { Vm } from './fleet.js';
import type { FinishedJob, OperationRecord, VmRecord } from './record.js';
import { asFound, askVmm, type Settlement } from './settlement.js';
import type { LoadedState } from './state-store.js';
import { VERBS } from './verbs.js';
import { destroyUnwatched } from './verbs/destroy.js';
import { replaceTombstone } from './verbs/tombstone.js';
import { warnOf } from './warn-of.js';

const VMS_AT_ONCE = 16;

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer U)[] ? U[] : T[K] };

/**
 * Makes the world and the records agree after whatever ended the last owner; says what it found and did.
 * `sweeps` is what was swept before.
 */
export async function recover(
  context: EngineContext,
  loaded: LoadedState,
  sweeps: readonly Sweep[],
): Promise<RecoveryReport> {
  const { store } = context;
  const leftOvers = loaded.leftovers.map((what) => ({ what, remove: () => store.removeLeftovers([what]) }));
  const all = [...sweeps, await sweepAll(leftOvers)];
  const report: Mutable<RecoveryReport> = {
    adopted: [],
    ended: [],
    interrupted: [],
    swept: all.flatMap(({ swept }) => swept),
    notSwept: all.flatMap(({ notSwept }) => notSwept),
    corruptSnapshots: [...loaded.corruptSnapshots],
  };
  loadRecords(context, loaded);
  await settleRemovals(context, loaded);
  const alive = await context.driver.survey();
  const limit = pLimit(VMS_AT_ONCE);
  await limit.map([...context.fleet.all()], async (vm) => {
    if (mustNotOutlive(vm)) await destroyLeft(context, vm, report);
    else await recoverVm(context, vm, alive, report);
  });
  await replaceTombstones(context, loaded);
  return report;
}

function loadRecords({ catalogue, book, fleet }: EngineContext, loaded: LoadedState): void {
  catalogue.load(loaded.manifests, loaded.corruptSnapshots);
  for (const job of loaded.jobs) book.load(job, false);
  // Tombstones first: where an id has been taken again, it belongs to the VM that lives.
  const isTombstone = (state: string): number => (state === 'destroyed' ? 0 : 1);
  for (const record of [...loaded.records].sort((a, b) => isTombstone(a.state) - isTombstone(b.state))) {
    for (const job of record.jobs) book.load(job, true);
    const vm = fleet.add(record);
    if (!isLive(record.state)) continue;
    vm.told.doubtEnvironment();
    vm.told.secrets.disown(secretsOfEarlierOwner(record, catalogue));
  }
}

/**
 * What the guest's memory may hold: given by the earlier owner, or captured in the snapshot that it goes on
 * from.
 */
function secretsOfEarlierOwner(record: VmRecord, catalogue: EngineContext['catalogue']): readonly string[] {
  const { secrets = [], operation, unrepaired, memoryFrom = '' } = record;
  const captured = unrepaired === true ? (catalogue.get(memoryFrom)?.secrets ?? []) : [];
  // The name of a secret that was being set is in no record.
  const isSetting = operation?.kind === 'setSecret';
  return [...secrets, ...captured, ...(isSetting ? ['(of an interrupted setSecret)'] : [])];
}

/**
 * These jobs were written down before they removed something. Whether it is still there says how each job
 * ended.
 */
async function settleRemovals(context: EngineContext, { jobs }: LoadedState): Promise<void> {
  const { book, store } = context;
  for (const job of jobs) {
    if (job.status !== 'interrupted' || job.outcome !== 'undone' || job.result === undefined) continue;
    if (VERBS[job.kind]?.isStillThere?.(context, job.result) !== false) continue;
    const settled = { ...job, outcome: 'carried-through' } as const;
    await store.saveJob(settled);
    book.load(settled, false);
  }
}

/**
 * A VM that was to end with the earlier owner. Its operation, if one was broken off, is settled first: an
 * undone create has no VM.
 */
function mustNotOutlive({ record: { spec, state, operation } }: Vm): boolean {
  return spec.onOwnerDeath === 'destroy' && state !== 'destroyed' && operation === undefined;
}

/** The watcher that should have ended the VM may have been killed together with the owner. */
async function destroyLeft(context: EngineContext, vm: Vm, report: Mutable<RecoveryReport>): Promise<void> {
  const { vmId, instanceId } = vm.record;
  try {
    await destroyUnwatched(context, vm);
    report.ended.push({ vmId, instanceId, state: 'destroyed' });
  } catch (error) {
    report.notSwept.push({ what: `VM ${instanceId}`, problem: (error as Error).message });
  }
}

async function recoverVm(
  context: EngineContext,
  vm: Vm,
  alive: ReadonlySet<string>,
  report: Mutable<RecoveryReport>,
): Promise<void> {
  const { calls, journal } = context;
  const { state, operation, instanceId, vmId } = vm.record;
  if (operation !== undefined) return endInterrupted(context, vm, operation, report);
  if (isLive(state)) {
    await journal.write(vm, await askVmm(context, vm));
    const now = vm.record.state;
    if (now === 'running' && hasSettings(vm)) await configureIfReachable(context, vm);
    (isLive(now) ? report.adopted : report.ended).push({ vmId, instanceId, state: now });
    return;
  }
  const mayHaveVmm = state === 'created';
  if (!mayHaveVmm && alive.has(instanceId)) {
    const cleanup = await calls.halt(vm);
    await journal.write(vm, { cleanup, vmm: undefined });
    if (cleanup === undefined) report.swept.push(`VMM of ${instanceId}`);
    else report.notSwept.push({ what: `VMM of ${instanceId}`, problem: cleanup.left.join(', ') });
  }
}

/**
 * The agent of a VM that was taken over knows the environment already, and this process learns only now how
 * long a command may be. Secrets were given by the earlier owner, and end with it.
 */
function hasSettings({ record: { spec, secrets = [] } }: Vm): boolean {
  return Object.keys(spec.env ?? {}).length > 0 || secrets.length > 0;
}

async function endInterrupted(
  context: EngineContext,
  vm: Vm,
  operation: OperationRecord,
  report: Mutable<RecoveryReport>,
): Promise<void> {
  const { fleet, book, store, journal } = context;
  const { vmId } = vm.record;
  const { jobId, kind } = operation;
  const settlement = await settle(context, vm, operation);
  const { outcome } = settlement;
  const finished = interruptedJob(vm, operation, outcome, journal.stamp());
  if (settlement.gone) {
    fleet.remove(vm);
    book.end(finished, false);
    await store.saveJob(finished).catch((error: unknown) => warnOf(`note the end of job ${jobId}`, error));
    report.interrupted.push({ jobId, kind, vmId, outcome });
    return;
  }
  await journal.endInterrupted(vm, finished, settlement.patch);
  report.interrupted.push({ jobId, kind, vmId, outcome, state: vm.record.state });
}

/** A kind that has no settlement, as another version may have written, leaves what the VMM says. */
async function settle(context: EngineContext, vm: Vm, operation: OperationRecord): Promise<Settlement> {
  const verb = VERBS[operation.kind] as (typeof VERBS)[OperationRecord['kind']] | undefined;
  if (verb?.settle === undefined) return asFound(await askVmm(context, vm));
  return verb.settle(context, vm, operation, 'crash');
}

function interruptedJob(
  { record }: Vm,
  { jobId, kind, idempotencyKey, request, queuedAt, startedAt, snapshotUid }: OperationRecord,
  outcome: InterruptedOutcome,
  endedAt: string,
): FinishedJob {
  const { vmId, instanceId } = record;
  return {
    jobId,
    kind,
    vmId,
    status: 'interrupted',
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(request === undefined ? {} : { request }),
    queuedAt,
    startedAt,
    endedAt,
    outcome,
    result: { instanceId, ...(snapshotUid === undefined ? {} : { snapshotUid }) },
  };
}

/** A crash between the commit of a new VM and the removal of the tombstone it replaces leaves both. */
async function replaceTombstones(context: EngineContext, { records }: LoadedState): Promise<void> {
  const { fleet } = context;
  for (const record of records.filter(({ state }) => state === 'destroyed')) {
    const owner = fleet.get(record.vmId);
    if (owner === undefined) fleet.add(record);
    else if (owner.record.instanceId !== record.instanceId) {
      const tombstone = fleet.byInstance(record.instanceId);
      if (tombstone !== undefined) await replaceTombstone(context, tombstone);
    }
  }
}
