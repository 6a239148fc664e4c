import { randomBytes } from 'node:crypto';

/** An id that nobody has: `vm-3f9c0d1e2a4b5c6d`. */
export function generateId(prefix: 'vm' | 'snapshot'): string {
  return `${prefix}-${randomBytes(8).toString('hex')}`;
}
