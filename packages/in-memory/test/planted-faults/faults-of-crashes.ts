import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecoveryReport, VmRuntime } from '@microvm/runtime';
import { inOpening, inRuntime, KILLED, openingProvider, type PlantedFault } from './faulty-runtime.js';

function reporting(good: VmRuntime, change: Partial<RecoveryReport>): { recovery: RecoveryReport } {
  return { recovery: { ...good.recovery, ...change } };
}

/** A fault in what an opened runtime does about the jobs that were interrupted. */
function inRecovery(
  fault: string,
  title: string,
  act: (runtime: VmRuntime, vmId: string) => Promise<unknown>,
): PlantedFault {
  return inOpening(fault, [KILLED, title], async (good, options) => {
    const runtime = await good.open(options);
    for (const { vmId } of runtime.recovery.interrupted) await act(runtime, vmId);
    return runtime;
  });
}

/** Faults that only a process that dies brings to light. */
export const FAULTS_OF_CRASHES: readonly PlantedFault[] = [
  inRuntime(
    'the report of the open leaves interrupted jobs out',
    [KILLED, 'createVm: kill -9 at createVm:intent'],
    (good) => reporting(good, { interrupted: [] }),
  ),
  inRuntime('an interrupted job is forgotten', [KILLED, 'startVm: kill -9 at startVm:intent'], () => ({
    getJob: () => Promise.resolve(undefined),
  })),
  inRecovery(
    'a create that was interrupted leaves its VM',
    'createVm: kill -9 at prepare:disks',
    (runtime, vmId) => runtime.createVm(vmId),
  ),
  inRecovery(
    'a destroy that was interrupted is undone',
    'destroyVm: kill -9 at destroyVm:intent',
    (runtime, vmId) => runtime.createVm(vmId),
  ),
  inRecovery(
    'a snapshot that was interrupted is there all the same',
    'snapshotVm of a created VM: kill -9 at snapshotVm:captured',
    (runtime, vmId) => runtime.snapshotVm(vmId, 'taken'),
  ),
  inRecovery(
    'a secret outlives its owner',
    'setSecret of a running VM: kill -9 at setSecret:intent',
    (runtime, vmId) => runtime.setSecret(vmId, 'token', 'open sesame'),
  ),
  inOpening(
    'what was staged for a snapshot is not swept',
    [KILLED, 'snapshotVm of a created VM: kill -9 at snapshotVm:staged'],
    async (good, options) => {
      const runtime = await good.open(options);
      if (runtime.recovery.interrupted.length > 0) {
        await mkdir(join(options.stateDir ?? '', 'snapshots', '.staging-left'), { recursive: true });
      }
      return runtime;
    },
  ),
  {
    fault: 'a step is not told of',
    caughtBy: [KILLED, 'destroyVm goes through the steps that the engine lists, in their order'],
    plant: (good) =>
      openingProvider(good, (factory, options) =>
        factory.open({
          ...options,
          onStep: (step) => (step === 'destroyVm:effects' ? undefined : options.onStep?.(step)),
        }),
      ),
  },
];
