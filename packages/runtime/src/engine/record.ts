import { z } from 'zod';
import { MIB } from '../contract/units.js';
import { MAX_SECRETS } from '../contract/secrets.js';
import { vmSpecSchema, type ResolvedVmSpec } from '../contract/spec.js';
import { VM_STATES, type VmState } from '../contract/states.js';
import type { JobKind } from '../contract/verbs.js';
import type { InterruptedOutcome, ProcessIdentity, VmEnding, VmView } from '../contract/views.js';
import type { JsonObject } from '../ports/driver.js';
import { describeIssue } from './describe-issue.js';
import { pinnedFilesSchema, type PinnedFiles } from './manifest.js';
import { imageProblem, vmImageSchema, type VmImage } from './vm-image.js';

/** Raise this number with every change of what a record says; `readRecord` reads the older formats. */
export const RECORD_FORMAT = 4;

/** What says which job it is, of one that has ended and of one at work. */
interface RecordedJob {
  readonly jobId: string;
  readonly kind: JobKind;
  readonly idempotencyKey?: string;
  /** Digest of the arguments, to tell another request under the same key. */
  readonly request?: string;
  readonly queuedAt: string;
}

/** A job that ended, as its VM's record (or, without one, the jobs folder) keeps it. */
export interface FinishedJob extends RecordedJob {
  readonly vmId?: string;
  readonly status: 'succeeded' | 'failed' | 'cancelled' | 'interrupted';
  readonly startedAt?: string;
  readonly endedAt: string;
  readonly error?: { readonly code: string; readonly message: string; readonly details?: JsonObject };
  readonly outcome?: InterruptedOutcome;
  readonly result?: JobResult;
  /** The VM whose record had no room for it any more: its keys go when that VM is forgotten. */
  readonly instanceId?: string;
}

/** The names of what the job worked on; the answer to a call is made anew from them. */
export interface JobResult {
  readonly instanceId?: string;
  readonly snapshotUid?: string;
}

/** The intent: written before the first effect of a job, gone with the write that commits it. */
export interface OperationRecord extends RecordedJob {
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
  /**
   * The files that the VM only reads, as they were at create. None in a record of format 1, whose VM reads
   * the caller's own files.
   */
  readonly pinned: PinnedFiles;
  /** What the name in `spec.image` stood for at create. */
  readonly image?: VmImage;
  readonly vmm?: ProcessIdentity;
  readonly createdAt: string;
  readonly changedAt: string;
  readonly restoredFrom?: string;
  /** The snapshot whose memory file this VM maps while it lives. */
  readonly memoryFrom?: string;
  /** Restored and never resumed: the guest has still the identity of the captured one. */
  readonly unrepaired?: true;
  /** Names of its secrets; their values are in memory alone. */
  readonly secrets?: readonly string[];
  readonly ending?: VmEnding;
  readonly stop?: VmView['stop'];
  readonly cleanup?: { readonly left: readonly string[] };
  readonly operation?: OperationRecord;
  /** Ended jobs, oldest first. */
  readonly jobs: readonly FinishedJob[];
}

/** No record of this program is longer; a longer file is not read. */
export const RECORD_MAX_BYTES = 64 * MIB;

/** The type check that the schema has exactly the fields of a record. */
type Fields<T> = Record<keyof T, z.ZodType>;

// Values are bounded where they enter. These bounds are for a file that somebody else has written.
const idText = z.string().min(1).max(64);
const timeText = z.string().min(1).max(40);
const longText = z.string().max(8 * MIB);
const hex32 = z.string().regex(/^[0-9a-f]{32}$/, '32 lower-case hex digits');
const jsonObject = z.record(z.string().max(4096), z.unknown());
const state = z.enum(VM_STATES);
const exitCode = z.union([z.int(), z.null(), z.literal('unknown')]);

const processIdentity = z.strictObject({
  pid: z.int().positive(),
  startTime: z.string().regex(/^\d{1,20}$/, 'decimal digits'),
  bootId: idText,
} satisfies Fields<ProcessIdentity>);

const jobResult = z.strictObject({
  instanceId: hex32.optional(),
  snapshotUid: hex32.optional(),
} satisfies Fields<JobResult>);

const recordedJob = {
  jobId: idText,
  kind: idText,
  idempotencyKey: z.string().max(4096).optional(),
  request: z.string().max(128).optional(),
  queuedAt: timeText,
} satisfies Fields<RecordedJob>;

const finishedJob = z.strictObject({
  ...recordedJob,
  vmId: idText.optional(),
  status: z.enum(['succeeded', 'failed', 'cancelled', 'interrupted']),
  startedAt: timeText.optional(),
  endedAt: timeText,
  error: z.strictObject({ code: idText, message: longText, details: jsonObject.optional() }).optional(),
  outcome: z.enum(['undone', 'carried-through', 'as-found']).optional(),
  result: jobResult.optional(),
  instanceId: hex32.optional(),
} satisfies Fields<FinishedJob>);

const operation = z.strictObject({
  ...recordedJob,
  startedAt: timeText,
  from: state,
  snapshotUid: hex32.optional(),
} satisfies Fields<OperationRecord>);

const ending = z.strictObject({
  reason: idText,
  exitCode,
  signal: z.string().max(32).nullable(),
  lastLogLines: z.array(longText).max(4096),
} satisfies Fields<VmEnding>);

/**
 * The fields of a spec, each as JSON: the rules of the time when the VM was made have checked their values.
 */
const recordedSpec = z
  .strictObject(
    Object.fromEntries(Object.keys(vmSpecSchema.shape).map((field) => [field, z.unknown().optional()])),
  )
  .omit({
    restoreFrom: true,
    resumeImmediately: true,
    networkOverrides: true,
    inheritSecrets: true,
    secrets: true,
  });

const recordSchema = z.strictObject({
  format: z.literal(RECORD_FORMAT),
  instanceId: hex32,
  vmId: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/, 'a VM id'),
  state,
  spec: recordedSpec,
  plan: jsonObject,
  pinned: pinnedFilesSchema,
  image: vmImageSchema.optional(),
  vmm: processIdentity.optional(),
  createdAt: timeText,
  changedAt: timeText,
  restoredFrom: hex32.optional(),
  memoryFrom: hex32.optional(),
  unrepaired: z.literal(true).optional(),
  secrets: z.array(idText).max(MAX_SECRETS).optional(),
  ending: ending.optional(),
  stop: z.enum(['graceful', 'forced']).optional(),
  cleanup: z.strictObject({ left: z.array(longText).max(4096) }).optional(),
  operation: operation.optional(),
  jobs: z.array(finishedJob).max(1_000_000),
} satisfies Fields<VmRecord>);

/** A record that was read, or what is wrong with it. */
export type RecordRead =
  | { readonly record: VmRecord; readonly problem?: undefined }
  | { readonly record?: undefined; readonly problem: string };

/** Judges what a record's file held. */
export function readRecord(value: unknown, folder: string): RecordRead {
  const format = (Object(value) as { readonly format?: unknown }).format;
  const current = converted(value as object, format);
  if (current === undefined) {
    return {
      problem: `format ${typeof format === 'number' ? format : 'missing'}, this version reads 1 to ${RECORD_FORMAT}`,
    };
  }
  const parsed = recordSchema.safeParse(current);
  if (!parsed.success) return { problem: describeIssue(parsed.error) };
  if (parsed.data.instanceId !== folder) return { problem: 'its instanceId is not the name of its folder' };
  const problem = imageProblem(current as VmRecord);
  return problem === undefined ? { record: current as VmRecord } : { problem };
}

/** A record of an older format as one of the present format; undefined for a format that is not known. */
function converted(value: object, format: unknown): object | undefined {
  switch (format) {
    case 1:
      // Format 1 pinned nothing: its VMs go on with the files that their callers named.
      return { ...value, format: RECORD_FORMAT, pinned: {} };
    case 2:
      // Format 2 had neither environment nor secrets: its VMs have none.
      return { ...value, format: RECORD_FORMAT };
    case 3:
      // Format 3 had no images: its VMs have none.
      return { ...value, format: RECORD_FORMAT };
    case RECORD_FORMAT:
      return value;
    default:
      return undefined;
  }
}

/** True when what was read can be used as a job of the jobs folder. */
export function isFinishedJob(value: unknown): value is FinishedJob {
  return finishedJob.safeParse(value).success;
}
