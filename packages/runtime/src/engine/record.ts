import type { ResolvedVmSpec } from '../contract/spec.js';
import { VM_STATES, type VmState } from '../contract/states.js';
import type { JobKind } from '../contract/verbs.js';
import type { InterruptedOutcome, ProcessIdentity, VmEnding, VmView } from '../contract/views.js';
import type { JsonObject } from '../ports/driver.js';

export const RECORD_FORMAT = 1;

/** A job that ended, as its VM's record (or, without one, the jobs folder) keeps it. */
export interface FinishedJob {
  readonly jobId: string;
  readonly kind: JobKind;
  readonly vmId?: string;
  readonly status: 'succeeded' | 'failed' | 'cancelled' | 'interrupted';
  readonly idempotencyKey?: string;
  /** Digest of the arguments, to tell another request under the same key. */
  readonly request?: string;
  readonly queuedAt: string;
  readonly startedAt?: string;
  readonly endedAt: string;
  readonly error?: { readonly code: string; readonly message: string; readonly details?: JsonObject };
  readonly outcome?: InterruptedOutcome;
  readonly result?: JobResult;
  /** The VM whose record had no room for it any more: its keys go when that VM is forgotten. */
  readonly instanceId?: string;
}

/** What a call answers with, by name: the view is made anew. */
export interface JobResult {
  readonly instanceId?: string;
  readonly snapshotUid?: string;
}

/** The intent: written before the first effect of a job, gone with the write that commits it. */
export interface OperationRecord {
  readonly jobId: string;
  readonly kind: JobKind;
  readonly idempotencyKey?: string;
  readonly request?: string;
  readonly queuedAt: string;
  readonly startedAt: string;
  /** The state that an undo goes back to. */
  readonly from: VmState;
  /** For snapshotVm: what may be staged or published already. */
  readonly snapshotUid?: string;
}

/** Everything that is known of a VM; one file, replaced atomically. */
export interface VmRecord {
  readonly format: typeof RECORD_FORMAT;
  readonly instanceId: string;
  readonly vmId: string;
  readonly state: VmState;
  readonly spec: ResolvedVmSpec;
  readonly plan: JsonObject;
  readonly vmm?: ProcessIdentity;
  readonly createdAt: string;
  readonly changedAt: string;
  readonly restoredFrom?: string;
  /** The snapshot whose memory file this VM maps while it lives. */
  readonly memoryFrom?: string;
  /** Restored and never resumed: its guest still believes to be the one that was captured. */
  readonly unrepaired?: true;
  readonly ending?: VmEnding;
  readonly stop?: VmView['stop'];
  readonly cleanup?: { readonly left: readonly string[] };
  readonly operation?: OperationRecord;
  /** Ended jobs, oldest first. */
  readonly jobs: readonly FinishedJob[];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Says what is wrong with a record that was read; undefined when it can be used. The engine alone writes records: shape is checked, not every field. */
export function recordProblem(value: unknown, folder: string): string | undefined {
  if (!isObject(value)) return 'not a JSON object';
  if (value['format'] !== RECORD_FORMAT)
    return `format ${String(value['format'])}, this version reads ${RECORD_FORMAT}`;
  if (value['instanceId'] !== folder)
    return `instanceId "${String(value['instanceId'])}" in folder "${folder}"`;
  if (typeof value['vmId'] !== 'string') return 'no vmId';
  if (!VM_STATES.includes(value['state'] as VmState)) return `unknown state "${String(value['state'])}"`;
  if (!isObject(value['spec']) || !isObject(value['plan'])) return 'no spec or plan';
  if (!Array.isArray(value['jobs'])) return 'no jobs';
  if (value['operation'] !== undefined && !isObject(value['operation'])) return 'operation is not an object';
  return undefined;
}

/** True when what was read can be used as a job of the jobs folder. */
export function isFinishedJob(value: unknown): value is FinishedJob {
  return (
    isObject(value) &&
    typeof value['jobId'] === 'string' &&
    typeof value['kind'] === 'string' &&
    typeof value['status'] === 'string' &&
    typeof value['endedAt'] === 'string'
  );
}
