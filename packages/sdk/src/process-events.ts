type ProcessEvent = 'exit' | 'beforeExit';

const callbacks: Readonly<Record<ProcessEvent, Set<() => void>>> = { exit: new Set(), beforeExit: new Set() };

const listeners: Readonly<Record<ProcessEvent, () => void>> = {
  exit: () => callEach('exit'),
  beforeExit: () => callEach('beforeExit'),
};

function callEach(event: ProcessEvent): void {
  for (const callback of [...callbacks[event]]) callback();
}

/**
 * Calls back at each such event of this process; the answer takes it back. However many wait, the process has one listener: a program with
 * a dozen runtimes must not be warned of a leak.
 */
export function onProcess(event: ProcessEvent, callback: () => void): () => void {
  const waiting = callbacks[event];
  const entry = (): void => callback();
  if (waiting.size === 0) process.on(event, listeners[event]);
  waiting.add(entry);
  return () => {
    waiting.delete(entry);
    if (waiting.size === 0) process.off(event, listeners[event]);
  };
}
