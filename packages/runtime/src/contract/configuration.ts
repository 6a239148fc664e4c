import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { invalidArgument } from './errors.js';
import { parseSchema } from './parse.js';
import { vmSpecSchema } from './spec.js';

/**
 * One setting of a runtime: by option, else by environment variable, else by default. docs/configuration.md
 * lists them all.
 */
export interface Setting {
  readonly option: string;
  /** Absent where only the option exists. */
  readonly env?: string;
  readonly type: 'string' | 'path' | 'integer' | 'json' | 'boolean';
  readonly default: string;
  readonly meaning: string;
}

/** Settings that every runtime has. */
export const COMMON_SETTINGS: readonly Setting[] = [
  {
    option: 'stateDir',
    env: 'MICROVM_STATE_DIR',
    type: 'path',
    default: 'by driver',
    meaning:
      'Absolute path of the folder of all state. Only this user may write to it; one process owns it at a time.',
  },
  {
    option: 'defaults',
    env: 'MICROVM_DEFAULTS',
    type: 'json',
    default: '{}',
    meaning: 'Spec fields that every VM gets unless its own spec says otherwise.',
  },
  {
    option: 'concurrency',
    env: 'MICROVM_CONCURRENCY',
    type: 'integer',
    default: '64',
    meaning: 'Lifecycle jobs that run at once, over all VMs.',
  },
  {
    option: 'operationTimeoutMs',
    env: 'MICROVM_OPERATION_TIMEOUT_MS',
    type: 'integer',
    default: '120000',
    meaning: 'Deadline of an operation that names none, in milliseconds.',
  },
  {
    option: 'abortGraceMs',
    env: 'MICROVM_ABORT_GRACE_MS',
    type: 'integer',
    default: '5000',
    meaning:
      'How long a driver may take to let go after an abort, in milliseconds; then the VM counts as crashed.',
  },
  {
    option: 'jobHistoryLimit',
    env: 'MICROVM_JOB_HISTORY_LIMIT',
    type: 'integer',
    default: '8',
    meaning:
      'Ended jobs that each VM keeps; those with an idempotency key are kept for their retention as well.',
  },
  {
    option: 'idempotencyRetentionMs',
    env: 'MICROVM_IDEMPOTENCY_RETENTION_MS',
    type: 'integer',
    default: '86400000',
    meaning: 'How long an idempotency key answers with the first outcome, in milliseconds.',
  },
];

/** Schema of `COMMON_SETTINGS`; a driver's own schema extends it. */
export const commonOptionsShape = {
  stateDir: z.string().min(1).refine(isAbsolute, 'an absolute path').optional(),
  // A secret belongs to a VM; what many VMs share is their environment.
  defaults: vmSpecSchema
    .omit({ secrets: true })
    .refine(({ image, rootDrive }) => image === undefined || rootDrive === undefined, {
      path: ['rootDrive'],
      message: 'nothing beside image',
    })
    .optional(),
  concurrency: z.int().min(1).max(100_000).optional(),
  operationTimeoutMs: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .optional(),
  abortGraceMs: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .optional(),
  jobHistoryLimit: z.int().min(1).max(10_000).optional(),
  idempotencyRetentionMs: z.int().min(0).optional(),
  /** Called at each journalled step; a test ends the process in it. */
  onStep: z
    .custom<(step: string) => void | Promise<void>>((value) => typeof value === 'function', 'a function')
    .optional(),
};

/** Options that every runtime takes. */
export type CommonOptions = z.infer<z.ZodObject<typeof commonOptionsShape>>;

function fromText(setting: Setting, name: string, text: string): unknown {
  switch (setting.type) {
    case 'string':
    case 'path':
      return text;
    case 'integer':
      if (!/^[0-9]+$/.test(text)) throw invalidArgument(name, `an integer, not "${text}"`);
      return Number(text);
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw invalidArgument(name, `true or false, not "${text}"`);
      return text === 'true';
    case 'json':
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw invalidArgument(name, `JSON, not "${text}"`);
      }
  }
}

/**
 * Options first, environment second; what neither names is absent, and the factory's own default applies. A
 * wrong value is `MICROVM_INVALID_ARGUMENT` and names the option, or the variable it came from.
 */
export function resolveOptions<T extends z.ZodType>(
  schema: T,
  settings: readonly Setting[],
  options: unknown,
  env: Readonly<Record<string, string | undefined>> = process.env,
): z.output<T> {
  const given = options === undefined ? {} : options;
  parseSchema(schema, given, 'options');
  const merged: Record<string, unknown> = { ...(given as object) };
  for (const setting of settings) {
    const text = setting.env === undefined ? undefined : env[setting.env];
    if (merged[setting.option] !== undefined || text === undefined || setting.env === undefined) continue;
    const value = fromText(setting, setting.env, text);
    parseFromEnvironment(schema, setting, value);
    merged[setting.option] = value;
  }
  return parseSchema(schema, merged, 'options');
}

function parseFromEnvironment(schema: z.ZodType, setting: Setting, value: unknown): void {
  const shape = 'shape' in schema ? (schema.shape as Record<string, z.ZodType>) : {};
  const field = shape[setting.option];
  if (field !== undefined && setting.env !== undefined) parseSchema(field, value, setting.env);
}
