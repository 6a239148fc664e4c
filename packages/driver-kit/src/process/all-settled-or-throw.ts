/**
 * Waits for every promise, also when a promise rejects, so that an undo never meets a part that still runs.
 * Rejects with the first failure, in the order given.
 */
export async function allSettledOrThrow<const T extends readonly Promise<unknown>[]>(
  flights: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(flights);
  return Promise.all(flights);
}
