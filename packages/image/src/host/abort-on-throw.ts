/**
 * A callback of the caller's for the addon to call. What the callback throws there would reach nobody and end
 * this process: it aborts the work instead, which then rejects with it.
 */
export function abortOnThrow<A extends readonly unknown[]>(
  callback: (...args: A) => void,
  work: AbortController,
): (...args: A) => void {
  return (...args) => {
    try {
      callback(...args);
    } catch (error) {
      work.abort(error);
    }
  };
}
