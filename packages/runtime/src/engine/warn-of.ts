import { translateError } from './translate-error.js';

/** Emits a warning of the process for a failure that must not change the result of a verb. */
export function warnOf(operation: string, error: unknown): void {
  const translated = translateError(error, operation);
  process.emitWarning(translated instanceof Error ? translated : String(translated));
}
