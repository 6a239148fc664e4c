import { parseVmId } from '../contract/ids.js';
import type { VerbArgs, VmVerb } from '../contract/verbs.js';
import type { VmView } from '../contract/views.js';
import type { Announcement } from './announcer.js';
import { viewOf, type EngineContext } from './engine-context.js';
import { guard, type Vm } from './fleet.js';
import type { Job } from './job.js';
import type { RecordPatch } from './record-patch.js';
import type { JobResult, OperationRecord } from './record.js';
import { absorbEnding, failJob, type Failing } from './settlement.js';
import type { Subject, Verb } from './verb.js';

/** The result of a job's effects. */
export interface Effects {
  readonly patch: RecordPatch;
  readonly result?: JobResult;
  /** Told once it is committed. */
  readonly event?: Announcement;
}

type IntentExtra = Pick<OperationRecord, 'snapshotUid'>;

/** How a job changes a VM that is there: intent, effects, commit; or, on any failure, the settlement. */
export interface Change extends Failing {
  /** Fields that the intent has beside the VM. */
  readonly intent?: IntentExtra;
  readonly effects: () => Promise<Effects>;
  /**
   * The intent could not be written, and the job ends by that error: what must be done all the same. Never
   * rejects.
   */
  readonly unwritten?: (error: unknown) => Promise<void>;
}

/** The frame of every journalled change. */
export async function change(
  context: EngineContext,
  vm: Vm,
  job: Job,
  { intent, effects, unwritten, ...failing }: Change,
): Promise<JobResult> {
  const { journal, announcer } = context;
  try {
    await journal.begin(vm, job, intent);
  } catch (error) {
    await unwritten?.(error);
    throw error;
  }
  try {
    await journal.step(`${job.kind}:intent`);
    const { patch, result = {}, event } = await effects();
    await journal.commit(vm, job, patch, result);
    if (event !== undefined) announcer.emit(event);
    return { instanceId: vm.record.instanceId, ...result };
  } catch (error) {
    return failJob(context, vm, job, { ...failing, error });
  }
}

/** What a verb on a VM works with. */
export interface Work<K extends VmVerb> {
  readonly vm: Vm;
  readonly args: VerbArgs<K>;
  readonly job: Job;
}

type OnVmKind = Exclude<VmVerb, 'renameVm'>;

/**
 * The parts that all verbs on `vmId` share. An end of its guest that was told of is dealt with before the
 * state is looked at.
 */
export function onVm<K extends OnVmKind>(
  kind: K,
  perform: (context: EngineContext, work: Work<K>) => Promise<JobResult>,
): Pick<Verb<K>, 'kind' | 'names' | 'subject' | 'execute'> {
  return {
    kind,
    names: ({ vmId }) => [vmId],
    subject: ({ fleet }, { vmId }) => subjectOf(fleet.get(vmId)),
    async execute(context, args, job) {
      const vm = context.fleet.require(args.vmId);
      await absorbEnding(context, vm);
      guard(vm, kind);
      return perform(context, { vm, args, job });
    },
  };
}

export function subjectOf(vm: Vm | undefined): Subject | undefined {
  return vm === undefined ? undefined : { vm };
}

type SimpleVerb = Exclude<
  OnVmKind,
  'startVm' | 'snapshotVm' | 'forgetVm' | 'setEnv' | 'setSecret' | 'deleteSecret'
>;

interface SimpleDefinition<K extends SimpleVerb> extends Failing {
  readonly kind: K;
  readonly needs: Verb<K>['needs'];
  readonly effects: (context: EngineContext, work: Work<K>) => Promise<RecordPatch>;
  readonly unwritten?: (context: EngineContext, vm: Vm, error: unknown) => Promise<void>;
}

/** A verb that takes nothing but `vmId`, changes the VM's record and answers with its view. */
export function vmVerb<K extends SimpleVerb>(definition: SimpleDefinition<K>): Verb<K> {
  const { kind, needs, settle, asksNothing = false, effects, unwritten } = definition;
  const perform = (context: EngineContext, work: Work<K>): Promise<JobResult> =>
    change(context, work.vm, work.job, {
      effects: async () => ({ patch: await effects(context, work) }),
      settle,
      asksNothing,
      ...(unwritten === undefined ? {} : { unwritten: (error) => unwritten(context, work.vm, error) }),
    });
  return {
    ...onVm(kind, perform),
    parse: { vmId: parseVmId },
    needs,
    journal: 'effects',
    settle,
    answer: vmAnswer,
  } as Verb<K>;
}

/**
 * The view of the VM that the job was about, as it is now. Errors: VM_NOT_FOUND when it was forgotten since.
 */
export function vmAnswer(context: EngineContext, { instanceId = '' }: JobResult): VmView {
  return viewOf(context, context.fleet.requireInstance(instanceId));
}
