/** Frees what nobody holds any more, so that resident memory is what is held. */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('needs a process with --expose-gc');
  // What the first one frees may hold the last of something else.
  for (let round = 0; round < 4; round += 1) globalThis.gc();
}
