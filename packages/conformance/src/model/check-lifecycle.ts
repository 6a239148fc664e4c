import fc from 'fast-check';
import type { LifecycleReal } from './compare-with-model.js';
import { lifecycleCommands, type LifecycleCommandsOptions } from './lifecycle-commands.js';
import { LifecycleModel } from './model.js';

export interface CheckLifecycleOptions extends LifecycleCommandsOptions {
  /** Sequences to try. Default 100. */
  readonly runs?: number;
  /** Try the sequences of this seed again, which a failure has shown. */
  readonly seed?: number;
  /** Look for the shortest sequence that fails. Default true; takes many more runs. */
  readonly shrinks?: boolean;
}

/**
 * Follows random sequences of calls on runtimes that `open` makes, each new and empty, and compares every
 * step with the model. Rejects for the first difference with the seed and the commands that led to it. The
 * runtimes' VMs are destroyed, and the runtimes closed.
 */
export async function checkLifecycle(
  open: () => Promise<LifecycleReal>,
  options: CheckLifecycleOptions = {},
): Promise<void> {
  const { runs = 100, seed, shrinks = true } = options;
  const property = fc.asyncProperty(lifecycleCommands(options), async (commands) => {
    const real = await open();
    try {
      await fc.asyncModelRun(() => ({ model: new LifecycleModel(), real }), commands);
    } finally {
      await discard(real);
    }
  });
  const parameters = { numRuns: runs, endOnFailure: !shrinks, ...(seed === undefined ? {} : { seed }) };
  await fc.assert(property, parameters);
}

async function discard({ runtime }: LifecycleReal): Promise<void> {
  const views = await runtime.listVms();
  const left = views.filter(({ state }) => state !== 'destroyed');
  await Promise.allSettled(left.map(({ vmId }) => runtime.destroyVm(vmId)));
  await runtime.close();
}
