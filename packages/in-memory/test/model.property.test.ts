import { checkLifecycle, type GuestEnding, type LifecycleReal } from '@microvm/conformance';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createFaults, createInMemoryRuntime, type Faults, type InMemoryOptions } from '../src/index.js';

const END: Readonly<Record<GuestEnding, (faults: Faults, vmId: string) => Promise<void>>> = {
  'power-off': (faults, vmId) => faults.guestPowersOff(vmId),
  reboot: (faults, vmId) => faults.guestReboots(vmId),
  panic: (faults, vmId) => faults.guestPanics(vmId),
  'kill-vmm': (faults, vmId) => faults.vmmDies(vmId),
};

const breaches: string[] = [];

afterAll(() => expect(breaches, 'the engine kept the rules of the driver interface').toEqual([]));

async function openReal(options: InMemoryOptions = {}): Promise<LifecycleReal> {
  const faults = createFaults();
  const onBreach = ({ message }: Error): void => void breaches.push(message);
  const runtime = await createInMemoryRuntime({ ...options, faults, onBreach });
  return {
    runtime,
    endGuest: (vmId, how) => END[how](faults, vmId),
    async count(vmId) {
      const guest = await runtime.guest(vmId);
      return Number((await guest.exec({ argv: ['counter'], input: '' }).result).stdout.toString());
    },
  };
}

test('random calls end as the model says', async () => {
  await checkLifecycle(() => openReal(), { runs: 150, maxCommands: 40 });
});

test('random calls end as the model says, with a state directory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-model-'));
  let sequence = 0;
  try {
    const open = (): Promise<LifecycleReal> => openReal({ stateDir: join(folder, String(sequence++)) });
    await checkLifecycle(open, { runs: 15, maxCommands: 25 });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

type Break = (real: LifecycleReal) => void;

/** Runtimes with one thing wrong each, which no single call shows. */
const BROKEN: Readonly<Record<string, Break>> = {
  'a snapshot under another name': ({ runtime }) => {
    const snapshotVm = runtime.snapshotVm.bind(runtime);
    runtime.snapshotVm = (vmId, _snapshotId, options) => snapshotVm(vmId, 'other', options);
  },
  'a restore that runs although it should stay paused': ({ runtime }) => {
    const createVmWithSpec = runtime.createVmWithSpec.bind(runtime);
    runtime.createVmWithSpec = (vmId, { resumeImmediately: _dropped, ...spec }, options) =>
      createVmWithSpec(vmId, spec, options);
  },
  'a start that does not resume, but boots anew': ({ runtime }) => {
    const startVm = runtime.startVm.bind(runtime);
    runtime.startVm = async (vmId, options) => {
      if ((await runtime.getVm(vmId))?.state !== 'paused') return startVm(vmId, options);
      await runtime.resumeVm(vmId);
      await runtime.stopVm(vmId);
      return startVm(vmId, options);
    };
  },
  'a destroy that takes the snapshots along': ({ runtime }) => {
    const destroyVm = runtime.destroyVm.bind(runtime);
    runtime.destroyVm = async (vmId, options) => {
      const { snapshots } = await destroyVm(vmId, options);
      for (const { snapshotUid } of snapshots) {
        await runtime.deleteSnapshot({ snapshotUid }).catch(() => undefined);
      }
      return (await runtime.getVm(vmId)) ?? Promise.reject(new Error('gone'));
    };
  },
  'a reboot that is taken for a power-off': (real) => {
    const endGuest = real.endGuest.bind(real);
    Object.assign(real, {
      endGuest: (vmId: string, how: GuestEnding) => endGuest(vmId, how === 'reboot' ? 'power-off' : how),
    });
  },
};

async function failure(broken: Break, seed?: number): Promise<string> {
  const open = async (): Promise<LifecycleReal> => {
    const real = await openReal();
    broken(real);
    return real;
  };
  const options = { runs: 300, ...(seed === undefined ? {} : { seed }) };
  const error: unknown = await checkLifecycle(open, options).catch((e: unknown) => e);
  if (!(error instanceof Error)) throw new Error('it was not found');
  return error.message;
}

describe('finds', () => {
  for (const [title, broken] of Object.entries(BROKEN)) {
    test(title, async () => {
      expect(await failure(broken)).toContain('Counterexample');
    });
  }
});

test('a failure is shown with its seed and its calls, and comes again', async () => {
  const broken = BROKEN['a snapshot under another name'] as Break;
  const shown = await failure(broken);
  const [, seed] = /seed: (-?\d+)/.exec(shown) ?? [];
  expect(shown).toMatch(/createVm\(\{"vmId":"[abc]"\}\).*snapshotVm\(\{"vmId":"[abc]"/s);
  expect(await failure(broken, Number(seed))).toContain(`seed: ${seed}`);
});
