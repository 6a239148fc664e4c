import { z } from 'zod';
import { invalidArgument } from './errors.js';
import { parseSchema } from './parse.js';

export const MAX_SECRETS = 64;
/** Bytes of one secret. */
export const MAX_SECRET_BYTES = 64 * 1024;
/** Bytes of all secrets of a VM. */
export const MAX_SECRETS_BYTES = 512 * 1024;
const MAX_OWNER_BYTES = 256;

// The texts of errors name a secret at most, never a value or a part of one.
const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/, '1 to 64 of [A-Za-z0-9._-], not starting with "." or "-"');
const ownerSchema = z.union(
  [z.string().regex(/^[^:\0\n]+(:[^:\0\n]+)?$/), z.int().min(0).max(0xffff_fffe)],
  'a name, a number or "user:group"',
);
const textSchema = z.string('a string');
const base64Schema = z.base64('base64');
const valueSchema = z.union(
  [
    textSchema,
    z.strictObject({ text: textSchema, owner: ownerSchema.optional() }),
    z.strictObject({ base64: base64Schema, owner: ownerSchema.optional() }),
  ],
  'a string, { text, owner? } or { base64, owner? }',
);

/**
 * The value of a secret, as JSON can carry it: text, or bytes in base64. `owner` is who may read its file in
 * the guest: a user, a number or `user:group` of the guest; default root.
 */
export type SecretValue =
  | string
  | { readonly text: string; readonly owner?: string | number | undefined }
  | { readonly base64: string; readonly owner?: string | number | undefined };

/** Secrets by name. */
export type Secrets = Readonly<Record<string, SecretValue>>;

/** Secrets by name; null: the VM needs the secret no longer. */
export type SecretsUpdate = Readonly<Record<string, SecretValue | null>>;

export const secretsSchema = z
  .record(nameSchema, valueSchema)
  .superRefine((secrets, context) => explain(secretsProblem(secrets), context));
const updateSchema = z
  .record(nameSchema, valueSchema.nullable())
  .superRefine((secrets, context) => explain(secretsProblem(secrets), context));

function explain(problem: string | undefined, context: z.RefinementCtx): void {
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
}

/** What secrets that are too many or too large may have at most. */
function secretsProblem(secrets: SecretsUpdate): string | undefined {
  const sizes = Object.values(secrets).map((value) => (value === null ? 0 : secretBytes(value).length));
  return secretSizesProblem(sizes);
}

/** The same, by the sizes in bytes of all secrets of a VM. */
export function secretSizesProblem(sizes: readonly number[]): string | undefined {
  if (sizes.length > MAX_SECRETS) return `at most ${MAX_SECRETS} secrets`;
  if (sizes.some((size) => size > MAX_SECRET_BYTES)) return `at most ${MAX_SECRET_BYTES} bytes each`;
  const sum = sizes.reduce((total, size) => total + size, 0);
  return sum > MAX_SECRETS_BYTES ? `at most ${MAX_SECRETS_BYTES} bytes in all` : undefined;
}

/** The bytes of a secret, in a buffer of its own. */
export function secretBytes(value: SecretValue): Buffer {
  if (typeof value === 'string') return Buffer.from(value, 'utf8');
  return 'text' in value ? Buffer.from(value.text, 'utf8') : Buffer.from(value.base64, 'base64');
}

/** Who may read a secret in the guest; empty: root. */
export function secretOwner(value: SecretValue): string {
  return typeof value === 'string' ? '' : String(value.owner ?? '');
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseSecretName(value: unknown, path: string): string {
  return parseSchema(nameSchema, value, path);
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseSecretValue(value: unknown, path: string): SecretValue {
  const secret = parseSchema(valueSchema, value, path);
  const problem = secretSizesProblem([secretBytes(secret).length]);
  if (problem !== undefined) throw invalidArgument(path, problem);
  if (Buffer.byteLength(secretOwner(secret)) > MAX_OWNER_BYTES)
    throw invalidArgument(`${path}.owner`, `at most ${MAX_OWNER_BYTES} bytes`);
  return secret;
}

/** Undefined: none are given. Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseSecretsUpdate(value: unknown, path: string): SecretsUpdate | undefined {
  return value === undefined ? undefined : parseSchema(updateSchema, value, path);
}

/** A secret of a VM, by its name. */
export interface SecretView {
  readonly name: string;
  /**
   * `present`: the guest has it, or will when it runs. `missing`: its value went with the life of the guest
   * or of the runtime that had it, and a start needs it again.
   */
  readonly state: 'present' | 'missing';
}
