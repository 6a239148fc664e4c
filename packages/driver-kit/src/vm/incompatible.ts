import { isDeepStrictEqual } from 'node:util';
import { VmRuntimeError, type RestoreSource } from '@microvm/runtime';

/**
 * Why two descriptions of a machine do not fit, by the first of the fields that differs; undefined when none
 * does.
 */
export function differenceIn<Description>(
  fields: readonly (keyof Description & string)[],
  taken: Description,
  here: Description,
): string | undefined {
  const field = fields.find((name) => !isDeepStrictEqual(taken[name], here[name]));
  if (field === undefined) return undefined;
  return `${field}: taken with ${JSON.stringify(taken[field])}, here ${JSON.stringify(here[field])}`;
}

/**
 * The error for a snapshot that would not load here, or would load and hang: `MICROVM_SNAPSHOT_INCOMPATIBLE`.
 */
export function incompatibleSnapshot({ snapshotUid }: RestoreSource, reason: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_SNAPSHOT_INCOMPATIBLE', `restore snapshot ${snapshotUid}: ${reason}`, {
    details: { snapshotUid, reason },
  });
}
