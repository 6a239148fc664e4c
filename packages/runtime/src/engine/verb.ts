import type { Capabilities } from '../contract/capabilities.js';
import type { JobKind, VerbAnswer, VerbArgs } from '../contract/verbs.js';
import type { EngineContext } from './engine-context.js';
import type { Vm } from './fleet.js';
import type { Job } from './job.js';
import type { JobResult, OperationRecord } from './record.js';
import type { Breakage, Settlement } from './settlement.js';

type CapabilityName = Exclude<keyof Capabilities, 'spec' | 'limits'>;

/** Checks each argument, in the order of the contract's method; `path` names it in errors. */
type Parsers<A> = { readonly [P in keyof A]-?: (value: unknown, path: string) => A[P] };

/**
 * What a job works on, once it is its turn: jobs on the same VM, or on the same snapshot, run one after the
 * other.
 */
export type Subject = { readonly vm: Vm } | { readonly snapshotUid: string };

/**
 * Brings a VM whose operation broke off into the state that docs/contract.md names, whatever broke it off.
 * Never rejects.
 */
export type Settle = (
  context: EngineContext,
  vm: Vm,
  operation: OperationRecord,
  cause: Breakage,
) => Promise<Settlement>;

/**
 * A kind of job, whole: all that the engine knows of a verb is this value, which `VERBS` lists under its
 * name. How it is journalled:
 * - `effects`: the intent is written first, then come the effects, and one write commits what they came to;
 * - `single`: one write, so that a crash finds it before or after;
 * - `none`: nothing changes.
 */
export interface Verb<K extends JobKind> {
  readonly kind: K;
  readonly parse: Parsers<VerbArgs<K>>;
  /** One of these capabilities must be there; none are needed where the list is empty. */
  readonly needs: readonly CapabilityName[];
  readonly journal: 'effects' | 'single' | 'none';
  /** Its own steps between the intent and the commit, beside the driver's. */
  readonly ownSteps?: readonly string[];
  /**
   * Ids of VMs: calls that share one run in the order in which they came. The first is the id that the job
   * carries.
   */
  names(args: VerbArgs<K>): readonly string[];
  subject(context: EngineContext, args: VerbArgs<K>): Subject | undefined;
  execute(context: EngineContext, args: VerbArgs<K>, job: Job): Promise<JobResult>;
  /** For `effects`. */
  readonly settle?: Settle;
  /**
   * For a verb that removes what its end would be kept with: whether that is still there. Asked when the
   * state directory is opened after a crash, of a job that has an idempotency key.
   */
  isStillThere?(context: EngineContext, result: JobResult): boolean;
  /** For a verb that takes secrets: its arguments without their values, and the values. */
  withoutSecrets?(args: VerbArgs<K>): { readonly args: object; readonly secrets: unknown };
  /** Makes the answer from the job's result; called again for a call under the same idempotency key. */
  answer(context: EngineContext, result: JobResult): VerbAnswer<K>;
}
