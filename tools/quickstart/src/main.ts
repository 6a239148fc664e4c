import { isVmRuntimeError } from '@microvm/sdk';
import { runQuickstart } from './quickstart.js';
import { Screen } from './screen.js';

const SIGNAL_EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

function showError(screen: Screen, error: unknown): void {
  if (!isVmRuntimeError(error)) {
    screen.failed(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return;
  }
  screen.failed(`${error.code}: ${error.message}`);
  screen.detail(`what to do: ${error.remedy}`);
  screen.detail(`details: ${JSON.stringify(error.details)}`);
}

const screen = new Screen(process.stdout);
const abort = new AbortController();
for (const [signal, exitCode] of Object.entries(SIGNAL_EXIT_CODES)) {
  process.once(signal, () => {
    // The second one of the same kind ends us at once; the VMs go all the same, as their owner is gone.
    screen.plain('');
    screen.warning(`${signal}: clearing up`);
    process.exitCode = exitCode;
    abort.abort(new Error(signal));
  });
}

try {
  const isClean = await runQuickstart(screen, abort.signal);
  if (!isClean) process.exitCode = 1;
} catch (error) {
  if (!abort.signal.aborted) {
    showError(screen, error);
    process.exitCode = 1;
  }
}
