import { endedBeforeReady } from '@microvm/driver-kit';
import { type Run, type VmEnding, within } from '@microvm/runtime';
import { clearLife } from './halt.js';
import { launchConfigured } from './configure.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import type { LiveVm } from './live-vm.js';

// The whole of guest memory is set up, and of huge pages touched.
const START_TIMEOUT_MS = 60_000;

/**
 * Cold boot: of the Firecracker that `prepare` has configured, or of a new one. Ready is when the agent has
 * dialled the port that was bound for it; a guest without one is ready when its CPUs run.
 */
export async function bootVm(context: FirecrackerContext, vm: FirecrackerVm, run: Run): Promise<LiveVm> {
  const { signal } = run;
  const live = (await preparedVm(context, vm)) ?? (await launchConfigured(context, vm, 'boot', run));
  await live.start({ signal, timeoutMs: START_TIMEOUT_MS });
  await run.step('boot:started');
  await untilReady(live, vm, signal);
  await run.step('boot:ready');
  return live;
}

/**
 * The life that this process has prepared, if it still lives. The life of an earlier owner is cleared,
 * because its agent port is not ours.
 */
async function preparedVm(context: FirecrackerContext, vm: FirecrackerVm): Promise<LiveVm | undefined> {
  const live = context.table.get(vm.instanceId);
  if (live !== undefined && !live.hasEnded) return live;
  await clearLife(context, vm);
  return undefined;
}

async function untilReady(live: LiveVm, vm: FirecrackerVm, signal: AbortSignal): Promise<void> {
  const { listener } = live;
  if (vm.spec.agent === 'none' || listener === undefined) return;
  const over = new AbortController();
  const dialled = listener.accept({
    process: live.process,
    signal: AbortSignal.any([signal, over.signal]),
  });
  dialled.catch(() => undefined);
  const ended = live.ended;
  try {
    const first = await within<VmEnding | Awaited<typeof dialled>>(
      Promise.race([dialled, ended]),
      { signal },
      () => ended,
    );
    if ('reason' in first) throw await bootFailure(live, vm, first);
    await live.agent.adopt(first, { signal });
  } catch (error) {
    signal.throwIfAborted();
    // The end of the process is seen by the wait first, and by us a moment later.
    if ((error as { readonly code?: unknown }).code !== 'ESRCH') throw error;
    throw await bootFailure(live, vm, await ended);
  } finally {
    over.abort();
    void listener.close();
  }
}

async function bootFailure(live: LiveVm, vm: FirecrackerVm, ending: VmEnding): Promise<Error> {
  const { reason, exitCode, signal } = ending;
  if (reason === 'vmm-exit') return live.exited({ exitCode, signal: signal as NodeJS.Signals | null });
  return endedBeforeReady(vm, ending);
}
