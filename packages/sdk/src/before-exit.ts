const callbacks = new Set<() => void>();

function callEach(): void {
  for (const callback of [...callbacks]) callback();
}

/**
 * Calls back each time that this process has nothing left to do (`beforeExit` of Node's process); the answer
 * takes the callback back. However many callbacks wait, the process has one listener: a program with a dozen
 * runtimes must not be warned of a leak.
 */
export function onBeforeExit(callback: () => void): () => void {
  const entry = (): void => callback();
  if (callbacks.size === 0) process.on('beforeExit', callEach);
  callbacks.add(entry);
  return () => {
    callbacks.delete(entry);
    if (callbacks.size === 0) process.off('beforeExit', callEach);
  };
}
