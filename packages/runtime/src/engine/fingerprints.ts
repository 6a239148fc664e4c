import { createHash, createHmac, randomBytes } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';

// base64url has no dot.
const SEPARATOR = '.';

/**
 * Digests by which a request is told from another one under the same idempotency key. Of values that must be
 * guessed by nobody, a record has only a hash with a key that lives in this process's memory.
 */
export class Fingerprints {
  readonly #key = randomBytes(32);
  readonly #keyId = randomBytes(6).toString('base64url');

  /** `secrets` is undefined for a request without any. */
  of(values: readonly unknown[], secrets?: unknown): string {
    const digest = createHash('sha256').update(canonicalJson(values)).digest('base64url');
    if (secrets === undefined) return digest;
    const keyed = createHmac('sha256', this.#key).update(canonicalJson(secrets)).digest('base64url');
    return [digest, this.#keyId, keyed].join(SEPARATOR);
  }
}

/**
 * Whether two requests are the same, as far as that can be told: secrets of which one was given to another
 * process count as equal, since nobody can compare them any more.
 */
export function isSameRequest(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  const [digest, keyId] = a?.split(SEPARATOR) ?? [];
  const [otherDigest, otherKeyId] = b?.split(SEPARATOR) ?? [];
  return digest === otherDigest && keyId !== undefined && otherKeyId !== undefined && keyId !== otherKeyId;
}
