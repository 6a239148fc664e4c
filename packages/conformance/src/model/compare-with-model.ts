import assert from 'node:assert/strict';
import {
  isVmRuntimeError,
  type Environment,
  type SnapshotRef,
  type VmRuntime,
  type VmView,
} from '@microvm/runtime';
import type { GuestEnding } from '../factory.js';
import { secretsIn, variablesIn } from '../variables-in.js';
import {
  lanesOf,
  MODEL_SECRETS,
  MODEL_VARIABLES,
  type Expected,
  type LifecycleModel,
  type ModelRef,
  type Operation,
} from './model.js';

/** The runtime that is compared with the model, and what can be done to its guests. */
export interface LifecycleReal {
  readonly runtime: VmRuntime;
  endGuest(vmId: string, how: GuestEnding): Promise<void>;
  /** Counts one up in a guest's memory and answers with the new number. */
  count(vmId: string): Promise<number>;
}

const UNKNOWN_UID = '0'.repeat(32);

function realRef(ref: ModelRef, model: LifecycleModel): SnapshotRef {
  return 'taken' in ref ? { snapshotUid: model.uidOf(ref.taken) ?? UNKNOWN_UID } : ref;
}

type Outcome = Record<string, unknown>;

const outcomeOf = ({ vmId, state }: VmView): Outcome => ({ vmId, state });

/** Makes the call; `model` is as it was before. */
async function call(operation: Operation, real: LifecycleReal, model: LifecycleModel): Promise<Outcome> {
  const { runtime } = real;
  switch (operation.verb) {
    case 'restoreVm': {
      const { vmId, from, resumeImmediately } = operation;
      const restoreFrom = realRef(from, model);
      return outcomeOf(await runtime.createVmWithSpec(vmId, { restoreFrom, resumeImmediately }));
    }
    case 'snapshotVm': {
      const { kind, snapshotUid } = await runtime.snapshotVm(operation.vmId, operation.snapshotId);
      return { kind, uid: snapshotUid };
    }
    case 'renameVm':
      return outcomeOf(await runtime.renameVm(operation.vmId, operation.newVmId));
    case 'deleteSnapshot':
      await runtime.deleteSnapshot(realRef(operation.ref, model));
      return {};
    case 'forgetVm':
      await runtime.forgetVm(operation.vmId);
      return {};
    case 'setEnv':
      return outcomeOf(await runtime.setEnv(operation.vmId, operation.env));
    case 'look':
      return {
        env: await variablesIn(runtime, operation.vmId, MODEL_VARIABLES),
        secrets: await secretsIn(runtime, operation.vmId, MODEL_SECRETS),
      };
    case 'setSecret':
      return outcomeOf(await runtime.setSecret(operation.vmId, operation.name, operation.value));
    case 'deleteSecret':
      return outcomeOf(await runtime.deleteSecret(operation.vmId, operation.name));
    case 'count':
      return { count: await real.count(operation.vmId) };
    case 'createVm':
    case 'startVm':
    case 'stopVm':
    case 'pauseVm':
    case 'resumeVm':
    case 'destroyVm':
      return outcomeOf(await runtime[operation.verb](operation.vmId));
  }
}

/** How the call ended, with errors as their codes. An error that is not of the contract is passed on. */
async function attempt(operation: Operation, real: LifecycleReal, model: LifecycleModel): Promise<Outcome> {
  try {
    return await call(operation, real, model);
  } catch (error) {
    if (isVmRuntimeError(error)) return { code: error.code };
    throw error;
  }
}

function agrees(outcome: Outcome, expected: Expected): boolean {
  const { uid: _uid, ...seen } = outcome;
  const { snapshot: _snapshot, ...shall } = expected as Record<string, unknown>;
  return JSON.stringify(Object.entries(seen).sort()) === JSON.stringify(Object.entries(shall).sort());
}

/** Variables in the order of their names, as no order is promised. */
function sorted(env: Environment = {}): Environment {
  return Object.fromEntries(Object.entries(env).sort());
}

/** The views of all VMs, reduced to what the model knows. */
export async function realViews({ runtime }: LifecycleReal): Promise<readonly object[]> {
  return (await runtime.listVms()).map(
    ({ vmId, state, snapshots, restoredFrom, ending, stop, spec, secrets }) => ({
      vmId,
      state,
      snapshots: snapshots.map(({ snapshotId, kind, snapshotUid }) => ({
        snapshotId,
        kind,
        uid: snapshotUid,
      })),
      restoredFrom,
      ending: ending?.reason,
      stop,
      secrets,
      env: sorted(spec.env),
    }),
  );
}

/** One way in which calls may have gone. */
interface Alternative {
  readonly model: LifecycleModel;
  readonly expected: readonly Expected[];
}

function inOrder(
  model: LifecycleModel,
  operations: readonly Operation[],
  order: readonly number[],
): Alternative {
  const next = model.clone();
  const expected: Expected[] = [];
  for (const index of order) expected[index] = next.apply(operations[index] as Operation);
  return { model: next, expected };
}

/** While a restore reads a snapshot it cannot be deleted, whatever the restored VM will be. */
function deletedWhileRead(model: LifecycleModel, [first, second]: readonly Operation[]): Alternative[] {
  const pair = [first, second];
  const restore = pair.findIndex((operation) => operation?.verb === 'restoreVm');
  const removal = pair.findIndex((operation) => operation?.verb === 'deleteSnapshot');
  const [from, ref] = [pair[restore], pair[removal]];
  if (from?.verb !== 'restoreVm' || ref?.verb !== 'deleteSnapshot') return [];
  if (model.find(from.from) === undefined || model.find(from.from) !== model.find(ref.ref)) return [];
  const alternative = inOrder(model, [from], [0]);
  const expected: Expected[] = [];
  expected[restore] = alternative.expected[0] as Expected;
  expected[removal] = { code: 'MICROVM_SNAPSHOT_IN_USE' };
  return [{ model: alternative.model, expected }];
}

function alternatives(model: LifecycleModel, operations: readonly Operation[]): readonly Alternative[] {
  const order = operations.map((_, index) => index);
  const asCalled = inOrder(model, operations, order);
  const [first, second] = operations;
  if (first === undefined || second === undefined) return [asCalled];
  if (lanesOf(first).some((lane) => lanesOf(second).includes(lane))) return [asCalled];
  return [asCalled, inOrder(model, operations, [1, 0]), ...deletedWhileRead(model, operations)];
}

/**
 * Makes the calls, all at once, and compares how they ended and what then is there with the model, which
 * follows.
 */
export async function compare(
  operations: readonly Operation[],
  model: LifecycleModel,
  real: LifecycleReal,
): Promise<void> {
  const possible = alternatives(model, operations);
  const before = model.clone();
  const outcomes = await Promise.all(operations.map((operation) => attempt(operation, real, before)));
  const views = await realViews(real);
  const fitting = possible.filter(({ expected }) => outcomes.every((o, i) => agrees(o, expected[i] ?? {})));
  for (const { model: next, expected } of fitting) {
    outcomes.forEach((outcome, index) => {
      const shall = expected[index] ?? {};
      if ('snapshot' in shall && shall.snapshot !== undefined)
        next.name(shall.snapshot, String(outcome['uid']));
    });
  }
  const same = fitting.find(({ model: next }) => JSON.stringify(next.views()) === JSON.stringify(views));
  const shown = same ?? fitting[0] ?? possible[0];
  if (fitting.length === 0) assert.deepEqual(outcomes, shown?.expected, 'how the calls ended');
  assert.deepEqual(views, shown?.model.views(), 'the views of all VMs');
  if (same !== undefined) model.become(same.model);
  for (const snapshotUid of model.uids()) {
    const known = await real.runtime.describeSnapshot({ snapshotUid: snapshotUid ?? UNKNOWN_UID });
    assert.equal(known?.snapshotUid, snapshotUid, 'a snapshot is there until it is deleted');
  }
}
