import assert from 'node:assert/strict';
import { isVmRuntimeError, type SnapshotRef, type VmRuntime, type VmView } from '@microvm/runtime';
import fc from 'fast-check';
import type { GuestEnding } from './factory.js';
import { lanesOf, type Expected, type LifecycleModel, type ModelRef, type Operation } from './model.js';

/** The runtime that is compared with the model, and what can be done to its guests. */
export interface LifecycleReal {
  readonly runtime: VmRuntime;
  endGuest(vmId: string, how: GuestEnding): Promise<void>;
  /** Counts one up in a guest's memory and answers with the new number. */
  count(vmId: string): Promise<number>;
}

export interface LifecycleCommandsOptions {
  /** Most commands of a sequence. Default 30. */
  readonly maxCommands?: number;
  /** Commands counted in the guest's memory; needs an agent. Default true. */
  readonly counts?: boolean;
  /** How guests may end. Default: every way. */
  readonly endings?: readonly GuestEnding[];
}

type Command = fc.AsyncCommand<LifecycleModel, LifecycleReal, boolean>;

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
    case 'count':
      return { count: await real.count(operation.vmId) };
    default:
      return outcomeOf(await runtime[operation.verb](operation.vmId));
  }
}

/** How the call ended, errors as their codes. An error that is none of the contract's is passed on. */
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

async function realViews({ runtime }: LifecycleReal): Promise<readonly object[]> {
  return (await runtime.listVms()).map(({ vmId, state, snapshots, restoredFrom, ending, stop }) => ({
    vmId,
    state,
    snapshots: snapshots.map(({ snapshotId, kind, snapshotUid }) => ({ snapshotId, kind, uid: snapshotUid })),
    restoredFrom,
    ending: ending?.reason,
    stop,
  }));
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

async function compare(
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

function show(operation: Operation): string {
  const { verb, ...args } = operation;
  return `${verb}(${JSON.stringify(args)})`;
}

/** One call, or two at once. References to the n-th snapshot are taken modulo the number of those that there are. */
class CallCommand implements Command {
  readonly #operations: readonly Operation[];
  #shown: readonly Operation[];

  constructor(operations: readonly Operation[]) {
    this.#operations = operations;
    this.#shown = operations;
  }

  check(): boolean {
    return true;
  }

  async run(model: LifecycleModel, real: LifecycleReal): Promise<void> {
    const bind = (ref: ModelRef): ModelRef =>
      'taken' in ref ? { taken: model.taken === 0 ? -1 : ref.taken % model.taken } : ref;
    this.#shown = this.#operations.map((operation) => {
      if (operation.verb === 'restoreVm') return { ...operation, from: bind(operation.from) };
      return operation.verb === 'deleteSnapshot' ? { ...operation, ref: bind(operation.ref) } : operation;
    });
    await compare(this.#shown, model, real);
  }

  toString(): string {
    return this.#shown.map(show).join(' || ');
  }
}

/** A guest ends by itself, and the runtime has seen to it. */
class EndGuestCommand implements Command {
  readonly #vmId: string;
  readonly #how: GuestEnding;

  constructor(vmId: string, how: GuestEnding) {
    this.#vmId = vmId;
    this.#how = how;
  }

  check(model: Readonly<LifecycleModel>): boolean {
    const state = model.stateOf(this.#vmId);
    return state === 'running' || (state === 'paused' && this.#how === 'kill-vmm');
  }

  async run(model: LifecycleModel, real: LifecycleReal): Promise<void> {
    const abort = new AbortController();
    const events = real.runtime.events({ signal: abort.signal })[Symbol.asyncIterator]();
    let next = events.next();
    await real.endGuest(this.#vmId, this.#how);
    for (let isSeen = false; !isSeen; next = events.next()) {
      const { value, done } = await next;
      assert(done !== true, 'the events ended before the guest’s end was seen to');
      isSeen = value.type === 'job' && value.job.kind === 'observeVm' && value.job.endedAt !== undefined;
    }
    abort.abort();
    await next;
    model.end(this.#vmId, this.#how);
    assert.deepEqual(await realViews(real), model.views(), 'the views of all VMs');
  }

  toString(): string {
    return `${this.#how}(${JSON.stringify(this.#vmId)})`;
  }
}

// Few names, so that they clash; now and then one that no VM can have.
const vmIds = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom('a', 'b', 'c') },
  { weight: 1, arbitrary: fc.constant('.d') },
);
const snapshotIds = fc.constantFrom('s', 't');
const refs: fc.Arbitrary<ModelRef> = fc.oneof(
  fc.record({ vmId: vmIds, snapshotId: snapshotIds }),
  fc.record({ taken: fc.nat(7) }),
);

function operations({ counts = true }: LifecycleCommandsOptions): fc.Arbitrary<Operation> {
  const simple = ['startVm', 'startVm', 'stopVm', 'pauseVm', 'resumeVm', 'destroyVm', 'forgetVm'] as const;
  const all: fc.WeightedArbitrary<Operation>[] = [
    { weight: 4, arbitrary: fc.record({ verb: fc.constant('createVm'), vmId: vmIds }) },
    { weight: 10, arbitrary: fc.record({ verb: fc.constantFrom(...simple), vmId: vmIds }) },
    {
      weight: 5,
      arbitrary: fc.record({
        verb: fc.constant('restoreVm'),
        vmId: vmIds,
        from: refs,
        resumeImmediately: fc.boolean(),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({ verb: fc.constant('snapshotVm'), vmId: vmIds, snapshotId: snapshotIds }),
    },
    { weight: 2, arbitrary: fc.record({ verb: fc.constant('renameVm'), vmId: vmIds, newVmId: vmIds }) },
    { weight: 2, arbitrary: fc.record({ verb: fc.constant('deleteSnapshot'), ref: refs }) },
  ];
  if (counts) all.push({ weight: 4, arbitrary: fc.record({ verb: fc.constant('count'), vmId: vmIds }) });
  return fc.oneof(...all);
}

const EVERY_ENDING: readonly GuestEnding[] = ['power-off', 'reboot', 'panic', 'kill-vmm'];

/**
 * Random sequences of calls, pairs of calls at once, and ends of guests, for `fc.asyncModelRun` with a `LifecycleModel` and a
 * `LifecycleReal` whose runtime has no VM yet. After each command the results, the error codes and the views of all VMs must be those
 * of the model. A failing sequence is shown by fast-check with its seed and its commands.
 */
export function lifecycleCommands(options: LifecycleCommandsOptions = {}): fc.Arbitrary<Iterable<Command>> {
  const operation = operations(options);
  const { maxCommands = 30, endings = EVERY_ENDING } = options;
  const single = operation.map((one) => new CallCommand([one]));
  // Counting is no job: beside a job of the same VM it has no turn to wait for.
  const jobs = operation.filter(({ verb }) => verb !== 'count');
  const pair = fc.tuple(jobs, jobs).map((both) => new CallCommand(both));
  const commands: fc.Arbitrary<Command>[] = [single, single, single, pair];
  if (endings.length > 0) {
    commands.push(
      fc.tuple(vmIds, fc.constantFrom(...endings)).map(([vmId, how]) => new EndGuestCommand(vmId, how)),
    );
  }
  return fc.commands(commands, { maxCommands });
}
