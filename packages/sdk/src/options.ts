import { isAbsolute } from 'node:path';
import type { CommonOptions, ExecLimits, OperationOptions, PtyOptions, VmSpec } from '@microvm/runtime';
import { abortSignalSchema, COMMON_SETTINGS, commonOptionsShape, resolveOptions } from '@microvm/runtime';
import type { Setting, VmRuntime } from '@microvm/runtime';
import { z } from 'zod';

/** Drivers that the SDK knows, best first. `in-memory` runs no real guest and is never picked by itself. */
export const DRIVER_NAMES = ['firecracker', 'qemu', 'in-memory'] as const;

export type DriverName = (typeof DRIVER_NAMES)[number];

/** Settings of the SDK itself; those of every runtime come on top. */
export const SDK_SETTINGS: readonly Setting[] = [
  {
    option: 'driver',
    env: 'MICROVM_DRIVER',
    type: 'string',
    default: 'the best one whose probe says that it is usable',
    meaning: `Driver that runs the VMs: ${DRIVER_NAMES.join(', ')}.`,
  },
];

const openOptionsSchema = z.strictObject({
  ...commonOptionsShape,
  driver: z.enum(DRIVER_NAMES).optional(),
  imageStore: z.string().refine(isAbsolute, 'an absolute path').optional(),
});

/**
 * How `createMicrovm` opens its runtime: the options of every runtime and `driver`. Without `stateDir` the
 * state lives in a temporary folder that goes with the process, and VMs are destroyed when the process ends,
 * however it ends.
 */
export interface OpenOptions extends CommonOptions {
  /** Default: `MICROVM_DRIVER`, else the best driver whose probe says that it is usable. */
  readonly driver?: DriverName | undefined;
  /**
   * Folder of the images that VMs are made from, absolute. Default: `MICROVM_IMAGE_STORE`, else
   * `$XDG_DATA_HOME/microvm/images`. An image costs no copy where the state directory is on the same file
   * system. The driver in memory has none.
   */
  readonly imageStore?: string | undefined;
}

/**
 * Either a runtime, which stays the caller's to close, or how to open one at the first call that needs it.
 */
export type MicrovmOptions =
  | ({ readonly runtime: VmRuntime } & { readonly [K in keyof OpenOptions]?: never })
  | (OpenOptions & { readonly runtime?: never });

/** Options, then `MICROVM_*` variables. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseOpenOptions(
  options: unknown,
  env?: Readonly<Record<string, string | undefined>>,
): OpenOptions {
  return resolveOptions(openOptionsSchema, [...COMMON_SETTINGS, ...SDK_SETTINGS], options, env);
}

/** What a VM shall be: the runtime's spec, and how the SDK handles it. */
export type CreateSpec = VmSpec & {
  /** The caller's name for the VM; default: a generated one. */
  readonly vmId?: string | undefined;
  /**
   * False leaves a new VM `created`. Default true: it runs and its agent answers when the promise resolves.
   */
  readonly start?: boolean | undefined;
};

/** What a VM restored from a snapshot shall be: fields that contradict the snapshot are refused. */
export type RestoreSpec = Omit<CreateSpec, 'restoreFrom'>;

/** Options of calls that take several steps: an abort or the deadline ends the whole, and undoes it. */
export type CreateOptions = Pick<OperationOptions, 'signal' | 'timeoutMs' | 'onProgress'>;

const execOptionsSchema = z.strictObject({
  env: z.record(z.string(), z.string()).optional(),
  secrets: z.record(z.string(), z.string()).optional(),
  cwd: z.string().startsWith('/', 'an absolute path').optional(),
  user: z.union([z.string(), z.number()]).optional(),
  rlimits: z.custom<ExecLimits>(isObject, 'an object of limits').optional(),
  pty: z.custom<PtyOptions>(isObject, 'an object with cols and rows').optional(),
  input: z.custom<ExecInput>(isExecInput, 'a string, a Uint8Array, or an async iterable of them').optional(),
  maxOutputBytes: z.int().positive().optional(),
  signal: abortSignalSchema.optional(),
  timeoutMs: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .optional(),
  throwOnError: z.boolean().optional(),
});

/** Bytes for a command: at once, or as they come, such as any `Readable`. */
export type ExecInput = string | Uint8Array | AsyncIterable<string | Uint8Array>;

export interface ExecOptions {
  /** Over the VM's environment, which is over the guest's defaults, and those of `user` where it is given. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /**
   * Variables whose values are secrets of the VM: `{ TOKEN: 'registry' }` gives the secret `registry` as
   * `TOKEN`.
   */
  readonly secrets?: Readonly<Record<string, string>> | undefined;
  /** Working directory in the guest, absolute. Default: that of the VM's image, else `/`. */
  readonly cwd?: string | undefined;
  /** Who runs it: a name, a number or `user:group` of the guest. Default: the image's user, else root. */
  readonly user?: string | number | undefined;
  /** What each of its processes may use. */
  readonly rlimits?: ExecLimits | undefined;
  /**
   * Runs it on a terminal of the guest: `input` is typed, all output comes as `stdout`, and `resize` gives
   * the window another size. Without `input` the keyboard is silent, but there.
   */
  readonly pty?: PtyOptions | undefined;
  /**
   * The command's standard input, which is closed after it. Default: empty, so nothing waits for a keyboard.
   */
  readonly input?: ExecInput | undefined;
  /**
   * Bytes of each stream that an awaited result may have, 1 MiB by default; more is `MICROVM_OUTPUT_LIMIT`.
   * Iterating is not limited.
   */
  readonly maxOutputBytes?: number | undefined;
  /**
   * Aborting kills all that the command started and rejects with the signal's reason; `collected` has what
   * was read by then.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * From the call to the command's end, in milliseconds; then the command is killed: `MICROVM_TIMEOUT`, whose
   * `result` has what was read. Default: no limit.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Reject with a `CommandError` unless the command exits with 0. Default false: as with `fetch`, a call that
   * worked resolves, and `ok` says whether the command succeeded. The exit code of sandboxed code is data,
   * not an error of the SDK.
   */
  readonly throwOnError?: boolean | undefined;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function isExecInput(value: unknown): value is ExecInput {
  if (typeof value === 'string' || value instanceof Uint8Array) return true;
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Checks the options of `exec`. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseExecOptions(options: unknown): ExecOptions {
  return resolveOptions(execOptionsSchema, [], options);
}
