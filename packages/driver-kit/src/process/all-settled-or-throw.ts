/**
 * Waits for every promise, also when one of them rejects: whoever undoes the work then must not meet a part
 * that is still going on. Rejects with the first failure, in the order given.
 */
export async function allSettledOrThrow<const T extends readonly Promise<unknown>[]>(
  flights: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(flights);
  return Promise.all(flights);
}
