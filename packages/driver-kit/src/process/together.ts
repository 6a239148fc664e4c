/**
 * Waits for all of what goes on at once, also when a part fails: whoever undoes it then must not meet what is still being done. Rejects
 * with the first failure, in the order given.
 */
export async function together<const T extends readonly Promise<unknown>[]>(
  flights: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(flights);
  return Promise.all(flights);
}
