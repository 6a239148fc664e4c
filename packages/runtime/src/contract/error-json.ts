import type { ExecResult } from './guest.js';

/** An error outside of the contract, such as the system's own, reduced to what JSON can carry. */
interface CauseJson {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly errno?: number;
  readonly syscall?: string;
  readonly path?: string;
  readonly errors?: readonly unknown[];
  readonly cause?: unknown;
}

/** A chain of causes is cut here, because a chain that leads back to itself would have no end. */
const MAX_DEPTH = 8;
const SYSTEM_FIELDS = ['code', 'errno', 'syscall', 'path'] as const;

/** How an error of the contract is written, and made again. */
export interface ErrorCodec {
  encode(error: unknown, depth: number): unknown;
  decode(json: Readonly<Record<string, unknown>>, depth: number): Error | undefined;
}

/** The part of a cause that JSON can carry; undefined without a cause, and beyond the depth that is kept. */
export function causeToJson(cause: unknown, codec: ErrorCodec, depth: number): unknown {
  if (cause === undefined || depth >= MAX_DEPTH) return undefined;
  const ours = codec.encode(cause, depth);
  if (ours !== undefined) return ours;
  if (!(cause instanceof Error)) return { name: 'Error', message: describe(cause) };
  const json: Record<string, unknown> = { name: cause.name, message: cause.message };
  for (const field of SYSTEM_FIELDS) {
    const value: unknown = Reflect.get(cause, field);
    if (typeof value === 'string' || typeof value === 'number') json[field] = value;
  }
  if (cause instanceof AggregateError)
    json['errors'] = cause.errors.map((error) => causeToJson(error, codec, depth + 1));
  const below = causeToJson(cause.cause, codec, depth + 1);
  return below === undefined ? json : { ...json, cause: below };
}

/** Makes an error again. A value that has not the form of an error becomes the message of one. */
export function causeFromJson(json: unknown, codec: ErrorCodec, depth: number): Error | undefined {
  if (json === undefined || json === null || depth >= MAX_DEPTH) return undefined;
  if (typeof json !== 'object') return new Error(describe(json));
  const ours = codec.decode(json as Readonly<Record<string, unknown>>, depth);
  if (ours !== undefined) return ours;
  const { name, message, errors, cause } = json as Partial<CauseJson>;
  const below = causeFromJson(cause, codec, depth + 1);
  const options = below === undefined ? undefined : { cause: below };
  const text = typeof message === 'string' ? message : '';
  const error = Array.isArray(errors)
    ? new AggregateError(
        errors.map((one) => causeFromJson(one, codec, depth + 1)),
        text,
        options,
      )
    : new Error(text, options);
  if (typeof name === 'string') error.name = name;
  for (const field of SYSTEM_FIELDS) {
    const value = (json as Partial<CauseJson>)[field];
    if (typeof value === 'string' || typeof value === 'number') Object.assign(error, { [field]: value });
  }
  return error;
}

function describe(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
}

/** What was read of a command, its bytes as base64. */
export function resultToJson({ exitCode, signal, stdout, stderr }: ExecResult): Record<string, unknown> {
  return { exitCode, signal, stdout: stdout.toString('base64'), stderr: stderr.toString('base64') };
}

/** The same again; undefined for what is none. */
export function resultFromJson(json: unknown): ExecResult | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const { exitCode, signal, stdout, stderr } = json as Readonly<Record<string, unknown>>;
  if (typeof stdout !== 'string' || typeof stderr !== 'string') return undefined;
  return {
    exitCode: typeof exitCode === 'number' ? exitCode : null,
    signal: typeof signal === 'string' ? signal : null,
    stdout: Buffer.from(stdout, 'base64'),
    stderr: Buffer.from(stderr, 'base64'),
  };
}
