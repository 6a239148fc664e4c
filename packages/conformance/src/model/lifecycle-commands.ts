import assert from 'node:assert/strict';
import { OWN_JOB_KINDS, type VmRuntime } from '@microvm/runtime';
import fc from 'fast-check';
import { compare, realViews, type LifecycleReal } from './compare-with-model.js';
import type { GuestEnding } from '../factory.js';
import {
  MODEL_SECRETS,
  MODEL_VARIABLES,
  type LifecycleModel,
  type ModelRef,
  type Operation,
} from './model.js';

export interface LifecycleCommandsOptions {
  /** Most commands of a sequence. Default 30. */
  readonly maxCommands?: number;
  /**
   * Commands counted in the guest's memory, environments and secrets of VMs; needs an agent. Default true.
   */
  readonly counts?: boolean;
  /** How guests may end. Default: every way. */
  readonly endings?: readonly GuestEnding[];
}

const VM_IDS = ['a', 'b', 'c'] as const;

type Command = fc.AsyncCommand<LifecycleModel, LifecycleReal, boolean>;

function show(operation: Operation): string {
  const { verb, ...args } = operation;
  return `${verb}(${JSON.stringify(args)})`;
}

/** A call that is still to be fitted to what there is. */
interface Draft {
  readonly operation: Operation;
  /** Which of the calls of this kind that succeed it shall be; undefined: as it is, which mostly fails. */
  readonly aim: number | undefined;
}

function rotated<T>(items: readonly T[], by: number): readonly T[] {
  const at = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

/** The call on each VM, and with each snapshot, that there is. */
function variantsOf(operation: Operation, model: LifecycleModel, aim: number): readonly Operation[] {
  const ids = rotated(VM_IDS, aim);
  const taken = rotated(
    Array.from({ length: model.taken }, (_, index) => ({ taken: index })),
    aim,
  );
  if (operation.verb === 'deleteSnapshot') return taken.map((ref) => ({ ...operation, ref }));
  if (operation.verb !== 'restoreVm') return ids.map((vmId) => ({ ...operation, vmId }));
  return taken.flatMap((from) => ids.map((vmId) => ({ ...operation, vmId, from })));
}

function isFine(operation: Operation, model: LifecycleModel): boolean {
  // A snapshot that is in use is well worth a try.
  if (operation.verb === 'deleteSnapshot') return model.find(operation.ref) !== undefined;
  return !('code' in model.clone().apply(operation));
}

function fit({ operation, aim }: Draft, model: LifecycleModel): Operation {
  if (aim === undefined) return operation;
  const fitting = variantsOf(operation, model, aim).find((variant) => isFine(variant, model));
  return fitting ?? operation;
}

/** One call, or two at once. */
class CallCommand implements Command {
  readonly #drafts: readonly Draft[];
  #operations: readonly Operation[] = [];

  constructor(drafts: readonly Draft[]) {
    this.#drafts = drafts;
  }

  /** Each run has commands of its own, so a run that is shown lists only the calls that it made. */
  [fc.cloneMethod](): CallCommand {
    return new CallCommand(this.#drafts);
  }

  check(): boolean {
    return true;
  }

  async run(model: LifecycleModel, real: LifecycleReal): Promise<void> {
    const before = model.clone();
    this.#operations = this.#drafts.map((draft) => {
      const operation = fit(draft, before);
      before.apply(operation);
      return operation;
    });
    await compare(this.#operations, model, real);
  }

  toString(): string {
    return this.#operations.map(show).join(' || ');
  }
}

/** A guest ends by itself, and the runtime has seen to it. */
class EndGuestCommand implements Command {
  readonly #aim: number;
  readonly #how: GuestEnding;
  #vmId: string | undefined;

  constructor(how: GuestEnding, aim: number) {
    this.#how = how;
    this.#aim = aim;
  }

  [fc.cloneMethod](): EndGuestCommand {
    return new EndGuestCommand(this.#how, this.#aim);
  }

  check(model: Readonly<LifecycleModel>): boolean {
    return this.#pick(model) !== undefined;
  }

  async run(model: LifecycleModel, real: LifecycleReal): Promise<void> {
    const vmId = this.#pick(model) ?? '';
    this.#vmId = vmId;
    const abort = new AbortController();
    const isSeen = untilObserved(real.runtime, abort.signal);
    try {
      await real.endGuest(vmId, this.#how);
      await isSeen;
    } finally {
      abort.abort();
    }
    model.end(vmId, this.#how);
    assert.deepEqual(await realViews(real), model.views(), 'the views of all VMs');
  }

  toString(): string {
    return `${this.#how}(${JSON.stringify(this.#vmId)})`;
  }

  #pick(model: Readonly<LifecycleModel>): string | undefined {
    return rotated(VM_IDS, this.#aim).find((vmId) => {
      const state = model.stateOf(vmId);
      return state === 'running' || (state === 'paused' && this.#how === 'kill-vmm');
    });
  }
}

/** Resolves when the runtime has dealt with the end of a guest. */
async function untilObserved(runtime: VmRuntime, signal: AbortSignal): Promise<void> {
  for await (const event of runtime.events({ signal })) {
    if (
      event.type === 'job' &&
      OWN_JOB_KINDS.some((kind) => kind === event.job.kind) &&
      event.job.endedAt !== undefined
    )
      return;
  }
}

/** Verbs whose only argument is an id; the likelier verbs are listed more than once. */
const SIMPLE = [
  ...(['startVm', 'startVm', 'startVm', 'pauseVm', 'pauseVm', 'resumeVm', 'resumeVm'] as const),
  ...(['stopVm', 'destroyVm', 'forgetVm'] as const),
] as const;

// Few names, so that they clash, and now and then a name that no VM can have.
const vmIds = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom(...VM_IDS) },
  { weight: 1, arbitrary: fc.constant('.d') },
);
const snapshotIds = fc.constantFrom('s', 't');
const refs: fc.Arbitrary<ModelRef> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ vmId: vmIds, snapshotId: snapshotIds }) },
  { weight: 3, arbitrary: fc.record({ taken: fc.nat(3) }) },
);

function operations({ counts = true }: LifecycleCommandsOptions): fc.Arbitrary<Operation> {
  const all: fc.WeightedArbitrary<Operation>[] = [
    { weight: 4, arbitrary: fc.record({ verb: fc.constant('createVm'), vmId: vmIds }) },
    { weight: 13, arbitrary: fc.record({ verb: fc.constantFrom(...SIMPLE), vmId: vmIds }) },
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
    { weight: 3, arbitrary: fc.record({ verb: fc.constant('deleteSnapshot'), ref: refs }) },
  ];
  if (counts) {
    const env = fc.dictionary(fc.constantFrom(...MODEL_VARIABLES), fc.constantFrom('1', '2', null));
    all.push({ weight: 4, arbitrary: fc.record({ verb: fc.constant('setEnv'), vmId: vmIds, env }) });
    all.push({ weight: 2, arbitrary: fc.record({ verb: fc.constant('look'), vmId: vmIds }) });
    const name = fc.constantFrom(...MODEL_SECRETS);
    const value = fc.constantFrom('open sesame', '');
    all.push({
      weight: 2,
      arbitrary: fc.record({ verb: fc.constant('setSecret'), vmId: vmIds, name, value }),
    });
    all.push({ weight: 2, arbitrary: fc.record({ verb: fc.constant('deleteSecret'), vmId: vmIds, name }) });
  }
  if (counts) all.push({ weight: 4, arbitrary: fc.record({ verb: fc.constant('count'), vmId: vmIds }) });
  return fc.oneof(...all);
}

const EVERY_ENDING: readonly GuestEnding[] = ['power-off', 'reboot', 'panic', 'kill-vmm'];

/**
 * Random sequences of calls, pairs of calls at once, and ends of guests, for `fc.asyncModelRun` with a
 * `LifecycleModel` and a `LifecycleReal` whose runtime has no VM yet. After each command the results, the
 * error codes and the views of all VMs must be those of the model. A failing sequence is shown by fast-check
 * with its seed and its commands.
 */
export function lifecycleCommands(options: LifecycleCommandsOptions = {}): fc.Arbitrary<Iterable<Command>> {
  const { maxCommands = 30, endings = EVERY_ENDING } = options;
  const aim = fc.option(fc.nat(11), { nil: undefined, freq: 4 });
  const draft = fc.record({ operation: operations(options), aim });
  const single = draft.map((one) => new CallCommand([one]));
  // Counting and looking are no jobs: beside a job of the same VM they have no turn to wait for.
  const job = draft.filter(({ operation }) => operation.verb !== 'count' && operation.verb !== 'look');
  const pair = fc.tuple(job, job).map((both) => new CallCommand(both));
  const commands: fc.Arbitrary<Command>[] = [single, single, single, single, pair];
  if (endings.length > 0) {
    commands.push(
      fc.tuple(fc.constantFrom(...endings), fc.nat(2)).map(([how, nth]) => new EndGuestCommand(how, nth)),
    );
  }
  return fc.commands(commands, { maxCommands, size: 'max' });
}
