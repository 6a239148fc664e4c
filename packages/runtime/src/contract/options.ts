import { z } from 'zod';
import { parseVmId } from './ids.js';
import { parseSchema } from './parse.js';
import type { SecretsUpdate } from './secrets.js';
import type { JobProgress, JobView } from './views.js';

/** Checks that an option is an `AbortSignal`. */
export const abortSignalSchema = z.custom<AbortSignal>(
  (value) => value instanceof AbortSignal,
  'an AbortSignal',
);

const operationOptionsSchema = z.strictObject({
  signal: abortSignalSchema.optional(),
  timeoutMs: z
    .number()
    .positive()
    .max(2 ** 31 - 1)
    .optional(),
  idempotencyKey: z.string().min(1).max(255).optional(),
  onProgress: z
    .custom<(progress: JobProgress) => void>((value) => typeof value === 'function', 'a function')
    .optional(),
  onJob: z.custom<(job: JobView) => void>((value) => typeof value === 'function', 'a function').optional(),
});

/** What every verb takes last. */
export interface OperationOptions {
  /** An abort cancels the operation, undoes what it did, and rejects with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * From the call to the operation's end, waiting included, in milliseconds. Then `MICROVM_TIMEOUT`, undone
   * as by an abort.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * The same key with the same request answers with the first call's outcome instead of doing it again; with
   * another request it is `MICROVM_IDEMPOTENCY_CONFLICT`.
   */
  readonly idempotencyKey?: string | undefined;
  readonly onProgress?: ((progress: JobProgress) => void) | undefined;
  /** Called once, with the job as it was queued. */
  readonly onJob?: ((job: JobView) => void) | undefined;
}

/** What `startVm` takes last. */
export interface StartOptions extends OperationOptions {
  /** Given anew, beside those that are present; null: the VM needs the secret no longer. */
  readonly secrets?: SecretsUpdate | undefined;
  /** Start although secrets are missing; as `secretsOptional` of the spec, for this start. */
  readonly secretsOptional?: boolean | undefined;
}

/** What `snapshotVm` takes last. */
export interface SnapshotOptions extends OperationOptions {
  /** The memory may hold secrets, which then lie in the snapshot's files in plain text. Default false. */
  readonly allowSecrets?: boolean | undefined;
}

/** Splits off options that are arguments of their verb; whatever is no object of options stays whole. */
export function splitOptions<O extends OperationOptions, K extends keyof O>(
  options: O | undefined,
  names: readonly K[],
): readonly [own: Partial<Pick<O, K>>, rest: OperationOptions | undefined] {
  if (typeof options !== 'object' || options === null) return [{}, options];
  const isOwn = ([name]: readonly [string, unknown]): boolean => names.some((own) => own === name);
  const entries = Object.entries(options);
  return [
    Object.fromEntries(entries.filter(isOwn)) as Partial<Pick<O, K>>,
    Object.fromEntries(entries.filter((entry) => !isOwn(entry))),
  ];
}

/** Checks an argument that is true, false or absent. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseFlag(value: unknown, path: string): boolean | undefined {
  return parseSchema(z.boolean('true or false').optional(), value, path);
}

/** Checks the options of a verb. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseOperationOptions(value: unknown): OperationOptions {
  return value === undefined ? {} : parseSchema(operationOptionsSchema, value, 'options');
}

const consoleOptionsSchema = z.strictObject({
  tailBytes: z.int().nonnegative().optional(),
  follow: z.boolean().optional(),
  signal: abortSignalSchema.optional(),
});

export interface ConsoleOptions {
  /**
   * Start this many bytes before the end. By default the console is read from the first byte that is kept.
   */
  readonly tailBytes?: number | undefined;
  /** Go on with output as it comes, until the VM is destroyed or the signal aborts; default false. */
  readonly follow?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseConsoleOptions(value: unknown): ConsoleOptions {
  return parseSchema(consoleOptionsSchema, value, 'options');
}

const eventsOptionsSchema = z.strictObject({
  signal: abortSignalSchema.optional(),
  bufferSize: z
    .int()
    .min(1)
    .max(2 ** 24)
    .optional(),
});

export interface EventsOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Events kept for this reader while it is busy; beyond them the oldest are dropped and counted. Default
   * 1,024.
   */
  readonly bufferSize?: number | undefined;
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseEventsOptions(value: unknown): EventsOptions {
  return value === undefined ? {} : parseSchema(eventsOptionsSchema, value, 'options');
}

const metricsOptionsSchema = z.strictObject({ signal: abortSignalSchema.optional() });

export interface MetricsOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseMetricsOptions(value: unknown): MetricsOptions {
  return value === undefined ? {} : parseSchema(metricsOptionsSchema, value, 'options');
}

const jobFilterSchema = z.strictObject({ vmId: z.string().optional() });

/** Which jobs `listJobs` answers with. */
export interface JobFilter {
  readonly vmId?: string | undefined;
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseJobFilter(value: unknown): JobFilter {
  const filter = parseSchema(jobFilterSchema, value, 'filter');
  if (filter.vmId !== undefined) parseVmId(filter.vmId, 'filter.vmId');
  return filter;
}
