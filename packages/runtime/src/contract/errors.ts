import { causeFromJson, causeToJson, resultFromJson, resultToJson, type ErrorCodec } from './error-json.js';
import type { ExecResult } from './guest.js';

/**
 * The fields of `details` for each code. This table is the only list of codes; docs/errors.md is checked
 * against it.
 */
export interface ErrorDetails {
  /** `path` names the argument or spec field, `expected` what would have been right. */
  MICROVM_INVALID_ARGUMENT: { readonly path: string; readonly expected: string };
  MICROVM_VM_ALREADY_EXISTS: { readonly vmId: string };
  MICROVM_VM_NOT_FOUND: { readonly vmId: string };
  MICROVM_INVALID_TRANSITION: {
    readonly vmId: string;
    readonly verb: string;
    readonly expected: readonly string[];
    readonly actual: string;
  };
  MICROVM_SNAPSHOT_ALREADY_EXISTS: { readonly vmId: string; readonly snapshotId: string };
  MICROVM_SNAPSHOT_NOT_FOUND: { readonly snapshot: string };
  MICROVM_SNAPSHOT_CORRUPT: { readonly snapshotUid: string; readonly part: string; readonly problem: string };
  MICROVM_SNAPSHOT_INCOMPATIBLE: { readonly snapshotUid: string; readonly reason: string };
  /** `users` are the ids of the VMs that need the snapshot's files. */
  MICROVM_SNAPSHOT_IN_USE: { readonly snapshotUid: string; readonly users: readonly string[] };
  /** A start needs these secrets, and nobody has their values any more. */
  MICROVM_SECRETS_MISSING: { readonly vmId: string; readonly names: readonly string[] };
  /** A snapshot with memory would hold these secrets. */
  MICROVM_SECRETS_PRESENT: { readonly vmId: string; readonly names: readonly string[] };
  /** No image has this name or digest. */
  MICROVM_IMAGE_NOT_FOUND: { readonly image: string };
  /**
   * An image is not what an image must be. `source` is where it came from, `entry` the file in it, as far as
   * one is to blame.
   */
  MICROVM_IMAGE_INVALID: { readonly source: string; readonly entry?: string; readonly reason: string };
  /** `feature` is a capability or a spec field; `availableIn` says what has it, where known. */
  MICROVM_UNSUPPORTED: { readonly feature: string; readonly availableIn?: string };
  /** `findings` are codes of the host report. */
  MICROVM_HOST_UNSUPPORTED: { readonly findings: readonly string[] };
  /** The VMM refused a request. `status` is its HTTP status (Firecracker) or error class (QMP). */
  MICROVM_VMM_REJECTED: {
    readonly request: string;
    readonly status: number | string;
    readonly faultMessage: string;
  };
  /** The VMM ended. `exitCode` is null after a signal, `unknown` for a process that was adopted. */
  MICROVM_VMM_EXITED: {
    readonly exitCode: number | null | 'unknown';
    readonly signal: string | null;
    readonly lastLogLines: readonly string[];
  };
  MICROVM_GUEST_UNREACHABLE: { readonly vmId: string; readonly reason: string };
  /**
   * The guest cannot start a command now, as during a pause. The command was not started and had no effect.
   */
  MICROVM_GUEST_BUSY: { readonly vmId: string; readonly reason: string };
  /**
   * The command never started in the guest. `step` is what failed (`exec`, `cwd` …), `errno` the guest's
   * error.
   */
  MICROVM_EXEC_FAILED: { readonly program: string; readonly errno: string; readonly step: string };
  /** Nothing took the connection in the guest; `errno` is the guest's error, such as `ECONNREFUSED`. */
  MICROVM_CONNECT_FAILED: { readonly vmId: string; readonly target: string; readonly errno: string };
  /** `stream` is the output of a command, or `files` for what a call on the guest's files collects. */
  MICROVM_OUTPUT_LIMIT: {
    readonly stream: 'stdout' | 'stderr' | 'files';
    readonly limitBytes: number;
    readonly limitEntries?: number;
  };
  MICROVM_TIMEOUT: { readonly operation: string; readonly timeoutMs: number };
  MICROVM_NO_SPACE: {
    readonly path: string;
    readonly neededBytes?: number;
    readonly availableBytes?: number;
  };
  /**
   * A file that the VM's VMM or guest may write to has not the size that it must have. Nothing of the file
   * was used.
   */
  MICROVM_UNEXPECTED_SIZE: {
    readonly vmId: string;
    readonly file: string;
    readonly sizeBytes: number;
    readonly expectedSizeBytes?: number;
    readonly maxSizeBytes?: number;
  };
  /** Another process owns the state directory. */
  MICROVM_STATE_LOCKED: { readonly stateDir: string; readonly pid?: number };
  /** A file of the state directory cannot be read as what it should be. */
  MICROVM_STATE_CORRUPT: { readonly path: string; readonly problem: string };
  /** `left` names what is still there. */
  MICROVM_CLEANUP_INCOMPLETE: { readonly vmId: string; readonly left: readonly string[] };
  MICROVM_IDEMPOTENCY_CONFLICT: {
    readonly idempotencyKey: string;
    readonly jobId: string;
    readonly kind: string;
  };
  MICROVM_JOB_NOT_FOUND: { readonly jobId: string };
  /** The job was cancelled by `cancelJob`. */
  MICROVM_CANCELLED: { readonly jobId: string };
  /** The process died while the job ran; `outcome` says what became of the VM. */
  MICROVM_INTERRUPTED: { readonly jobId: string; readonly outcome: string };
  MICROVM_CLOSED: { readonly what: string };
  /** A fault of the host that has no code of its own; `cause` is the system's error. */
  MICROVM_HOST_FAILURE: { readonly operation: string; readonly errno?: string };
}

export type ErrorCode = keyof ErrorDetails;

interface ErrorTraits {
  /** The same call may succeed later without any change by the caller. */
  readonly retryable: boolean;
  /** What a person can do about it. */
  readonly remedy: string;
}

/** Traits of each code. `remedy` is the general remedy, which an error may replace by a fitting one. */
export const ERROR_TRAITS: Readonly<Record<ErrorCode, ErrorTraits>> = {
  MICROVM_INVALID_ARGUMENT: { retryable: false, remedy: 'correct the argument that `details.path` names' },
  MICROVM_VM_ALREADY_EXISTS: { retryable: false, remedy: 'take another id, or destroy the VM first' },
  MICROVM_VM_NOT_FOUND: { retryable: false, remedy: 'look the id up with listVms()' },
  MICROVM_INVALID_TRANSITION: {
    retryable: false,
    remedy: 'bring the VM into one of the states in `details.expected` first',
  },
  MICROVM_SNAPSHOT_ALREADY_EXISTS: {
    retryable: false,
    remedy: 'take another snapshot id, or delete the snapshot first',
  },
  MICROVM_SNAPSHOT_NOT_FOUND: {
    retryable: false,
    remedy:
      'look it up with listSnapshots(): without an id it lists those of all VMs, also of destroyed ones',
  },
  MICROVM_SNAPSHOT_CORRUPT: { retryable: false, remedy: 'delete the snapshot and take a new one' },
  MICROVM_SNAPSHOT_INCOMPATIBLE: {
    retryable: false,
    remedy: 'restore it with the VMM and host that its manifest names',
  },
  MICROVM_SNAPSHOT_IN_USE: { retryable: true, remedy: 'destroy or stop the VMs in `details.users` first' },
  MICROVM_SECRETS_MISSING: {
    retryable: false,
    remedy: 'give the secrets in `details.names` with the start, or start with secretsOptional: true',
  },
  MICROVM_SECRETS_PRESENT: {
    retryable: false,
    remedy: 'delete the secrets first, or allow them in the snapshot’s files with allowSecrets: true',
  },
  MICROVM_IMAGE_NOT_FOUND: { retryable: false, remedy: 'import or pull the image first' },
  MICROVM_IMAGE_INVALID: {
    retryable: false,
    remedy: 'make or fetch the image again: `details.reason` says what is wrong with it',
  },
  MICROVM_UNSUPPORTED: {
    retryable: false,
    remedy: 'check `capabilities` before the call, or use another driver',
  },
  MICROVM_HOST_UNSUPPORTED: { retryable: false, remedy: 'follow the remedies of probe().findings' },
  MICROVM_VMM_REJECTED: { retryable: false, remedy: 'read `details.faultMessage`: it is the VMM’s own' },
  MICROVM_VMM_EXITED: { retryable: true, remedy: 'read `details.lastLogLines` and the VM’s console' },
  MICROVM_GUEST_UNREACHABLE: {
    retryable: true,
    remedy: 'read the VM’s console; check that the image runs the agent',
  },
  MICROVM_GUEST_BUSY: {
    retryable: true,
    remedy: 'call again, or give the command a longer timeoutMs: it waits until the guest can start it',
  },
  MICROVM_EXEC_FAILED: {
    retryable: false,
    remedy: 'check that the program exists and is executable in the guest',
  },
  MICROVM_CONNECT_FAILED: { retryable: true, remedy: 'check that the program listens in the guest' },
  MICROVM_OUTPUT_LIMIT: { retryable: false, remedy: 'raise maxOutputBytes, or iterate the process' },
  MICROVM_TIMEOUT: { retryable: true, remedy: 'raise timeoutMs if the host is merely slow' },
  MICROVM_NO_SPACE: { retryable: true, remedy: 'free space on the file system of `details.path`' },
  MICROVM_UNEXPECTED_SIZE: {
    retryable: false,
    remedy: 'destroy the VM: something in it changed a file that was not its to change',
  },
  MICROVM_STATE_LOCKED: {
    retryable: true,
    remedy: 'close the other runtime, or give this one its own state directory',
  },
  MICROVM_STATE_CORRUPT: {
    retryable: false,
    remedy: 'restore the file from a backup, or remove it by hand when nothing of its VM is left',
  },
  MICROVM_CLEANUP_INCOMPLETE: {
    retryable: true,
    remedy: 'remove what `details.left` names, then call destroyVm again',
  },
  MICROVM_IDEMPOTENCY_CONFLICT: {
    retryable: false,
    remedy: 'use a new idempotency key for a different request',
  },
  MICROVM_JOB_NOT_FOUND: { retryable: false, remedy: 'look it up with listJobs(); history is bounded' },
  MICROVM_CANCELLED: { retryable: true, remedy: 'call again if it is wanted after all' },
  MICROVM_INTERRUPTED: { retryable: true, remedy: 'look at the VM with getVm() and call again' },
  MICROVM_CLOSED: { retryable: false, remedy: 'open a new runtime' },
  MICROVM_HOST_FAILURE: { retryable: true, remedy: 'read `cause`: it is the system’s own error' },
};

export const ERROR_CODES = Object.keys(ERROR_TRAITS) as readonly ErrorCode[];

const BRAND = Symbol.for('microvm.VmRuntimeError');

interface ErrorInit<C extends ErrorCode> {
  readonly details: ErrorDetails[C];
  readonly cause?: unknown;
  /** Default: that of the code, as `remedy`. */
  readonly retryable?: boolean;
  readonly remedy?: string;
  readonly result?: ExecResult;
}

/**
 * Every failure that the contract names. `code` says which, `details` has the facts, typed by the code: test
 * with `isVmRuntimeError(error, code)`. An abort is not one of these: it rejects with the signal's own
 * reason.
 */
export class VmRuntimeError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'VmRuntimeError';
  readonly code: C;
  readonly details: ErrorDetails[C];
  readonly retryable: boolean;
  readonly remedy: string;
  /** What was read of a command that was ended, for TIMEOUT and OUTPUT_LIMIT. */
  readonly result?: ExecResult;

  constructor(code: C, message: string, init: ErrorInit<C>) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = code;
    this.details = init.details;
    this.retryable = init.retryable ?? ERROR_TRAITS[code].retryable;
    this.remedy = init.remedy ?? ERROR_TRAITS[code].remedy;
    if (init.result !== undefined) this.result = init.result;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** Everything but the stack, causes included. */
  toJSON(): Record<string, unknown> {
    return toJson(this, 0);
  }

  /**
   * The error that `toJSON` described, in another process or at another time. A code that this version does
   * not know, as a newer one may have sent, becomes HOST_FAILURE with that code in its message.
   */
  static fromJSON(json: unknown): VmRuntimeError {
    const known = isObject(json) ? fromJson(json, 0) : undefined;
    if (known !== undefined) return known;
    const { code, message } = isObject(json) ? json : {};
    const text = `${typeof code === 'string' ? code : 'unknown error'}: ${typeof message === 'string' ? message : 'no message'}`;
    return new VmRuntimeError('MICROVM_HOST_FAILURE', text, { details: { operation: 'read an error' } });
  }
}

const CODEC: ErrorCodec = {
  encode: (error, depth) => (isVmRuntimeError(error) ? toJson(error, depth) : undefined),
  decode: fromJson,
};

function toJson(error: VmRuntimeError, depth: number): Record<string, unknown> {
  const { code, message, details, retryable, remedy, result } = error;
  const cause = causeToJson(error.cause, CODEC, depth + 1);
  return {
    ...{ code, message, details, retryable, remedy },
    ...(result === undefined ? {} : { result: resultToJson(result) }),
    ...(cause === undefined ? {} : { cause }),
  };
}

function fromJson(json: Readonly<Record<string, unknown>>, depth: number): VmRuntimeError | undefined {
  const { message, details, retryable, remedy } = json;
  const code = ERROR_CODES.find((known) => known === json['code']);
  if (code === undefined) return undefined;
  const cause = causeFromJson(json['cause'], CODEC, depth + 1);
  const result = resultFromJson(json['result']);
  return new VmRuntimeError(code, typeof message === 'string' ? message : code, {
    details: (isObject(details) ? details : {}) as unknown as ErrorDetails[typeof code],
    ...(cause === undefined ? {} : { cause }),
    ...(typeof retryable === 'boolean' ? { retryable } : {}),
    ...(typeof remedy === 'string' ? { remedy } : {}),
    ...(result === undefined ? {} : { result }),
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * True for an error of this package, also of another copy of the package; with a code, only for that code.
 */
export function isVmRuntimeError<C extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: C,
): error is VmRuntimeError<C> {
  if (typeof error !== 'object' || error === null || !(BRAND in error)) return false;
  return code === undefined || ('code' in error && error.code === code);
}

/** The argument at `path` is wrong. */
export function invalidArgument(path: string, expected: string, message?: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_INVALID_ARGUMENT', message ?? `${path}: expected ${expected}`, {
    details: { path, expected },
  });
}

/** Makes the error of a call that asks for a feature which this runtime lacks. */
export function unsupported(feature: string, availableIn?: string): VmRuntimeError {
  const where = availableIn === undefined ? '' : `; ${availableIn} has it`;
  return new VmRuntimeError('MICROVM_UNSUPPORTED', `${feature} is not supported${where}`, {
    details: availableIn === undefined ? { feature } : { feature, availableIn },
  });
}

/** The driver could reach a guest; this VM says that there is nobody to be reached. */
export function withoutAgent(vmId: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_UNSUPPORTED', `guest "${vmId}": the VM was created with agent: 'none'`, {
    details: { feature: 'guest', availableIn: "a VM that was created with agent: 'required'" },
    remedy: "create the VM with agent: 'required', from an image that runs the agent",
  });
}
