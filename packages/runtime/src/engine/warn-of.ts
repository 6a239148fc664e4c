import { translateError } from './translate-error.js';

/** Tells of a failure that must not change what a verb came to, as a warning of the process. */
export function warnOf(operation: string, error: unknown): void {
  const translated = translateError(error, operation);
  process.emitWarning(translated instanceof Error ? translated : String(translated));
}
