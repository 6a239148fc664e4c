import { MIB, isVmRuntimeError, type VmSpec } from '@microvm/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOSTILE_MODES } from './hostile-modes.js';
import {
  BYSTANDER,
  HostileFixture,
  openDescriptors,
  PEAK_MEMORY,
  SNAPSHOT_ID,
  VICTIM,
} from './hostile-fixture.js';

const MEMORY_BYTES = 64 * MIB;
const RECORD_BYTES = 128 * 1024;
const SLACK = 2;
// How long a caller waits. Not what is tested: where the VMM stalls there is nothing to wait for, else there
// is time for harm.
const SHORT_MS = 600;
const LONG_MS = 20_000;

interface Patience {
  readonly timeoutMs: number;
}

interface Attack {
  /** The request at which the VMM turns, and how many of its kind go well before. */
  readonly on: string;
  readonly skip?: number;
  /** What goes before is done with a VMM that is sound, and the call starts another one. */
  readonly isLate?: true;
  readonly before?: (fixture: HostileFixture) => Promise<unknown>;
  readonly call: (fixture: HostileFixture, patience: Patience) => Promise<unknown>;
}

const create = ({ runtime, spec }: HostileFixture, own: VmSpec = {}): Promise<unknown> =>
  runtime.createVmWithSpec(VICTIM, { ...spec, ...own });

async function start(fixture: HostileFixture, own: VmSpec = {}): Promise<void> {
  await create(fixture, own);
  await fixture.runtime.startVm(VICTIM);
}

// Nobody but the VMM can be asked to end it.
const WITHOUT_AGENT: VmSpec = { agent: 'none', shutdownTimeoutMs: 300 };

const ATTACKS: Readonly<Record<string, Attack>> = {
  createVm: {
    on: 'PUT /boot-source',
    call: ({ runtime, spec }, patience) => runtime.createVmWithSpec(VICTIM, spec, patience),
  },
  startVm: {
    on: 'PUT /actions',
    before: create,
    call: ({ runtime }, patience) => runtime.startVm(VICTIM, patience),
  },
  pauseVm: {
    on: 'PATCH /vm',
    before: start,
    call: ({ runtime }, patience) => runtime.pauseVm(VICTIM, patience),
  },
  resumeVm: {
    on: 'PATCH /vm',
    skip: 1,
    before: async (fixture) => start(fixture).then(() => fixture.runtime.pauseVm(VICTIM)),
    call: ({ runtime }, patience) => runtime.resumeVm(VICTIM, patience),
  },
  snapshotVm: {
    on: 'PUT /snapshot/create',
    before: start,
    call: ({ runtime }, patience) => runtime.snapshotVm(VICTIM, 'stolen', patience),
  },
  'createVm of a snapshot': {
    on: 'PUT /snapshot/load',
    call: ({ runtime }, patience) => {
      const restoreFrom = { vmId: BYSTANDER, snapshotId: SNAPSHOT_ID };
      return runtime.createVmWithSpec(VICTIM, { restoreFrom }, patience);
    },
  },
  metricsVm: {
    on: 'PUT /actions',
    skip: 1,
    before: start,
    call: ({ runtime }, { timeoutMs }) =>
      runtime.metricsVm(VICTIM, { signal: AbortSignal.timeout(timeoutMs) }),
  },
  stopVm: {
    on: 'PUT /actions',
    skip: 1,
    before: (fixture) => start(fixture, WITHOUT_AGENT),
    call: ({ runtime }, patience) => runtime.stopVm(VICTIM, patience),
  },
  'startVm of a stopped VM': {
    on: 'PUT /actions',
    isLate: true,
    before: async (fixture) => start(fixture, WITHOUT_AGENT).then(() => fixture.runtime.stopVm(VICTIM)),
    call: ({ runtime }, patience) => runtime.startVm(VICTIM, patience),
  },
  'an open of the state directory': {
    on: 'GET /',
    before: start,
    call: (fixture) => fixture.reopen(),
  },
};

describe.each(Object.entries(HOSTILE_MODES))('a VMM that %s', (_, { only, stalls, ...mode }) => {
  let fixture: HostileFixture;
  let descriptors: number;
  beforeAll(async () => {
    fixture = await HostileFixture.open();
    descriptors = openDescriptors().length;
  });
  afterAll(() => fixture.close());

  const attacks = Object.entries(ATTACKS).filter(([name]) => only === undefined || only === name);

  it.each(attacks)('at %s harms nobody but its own VM', async (_name, attack) => {
    const { before, call, on, skip = 0, isLate = false } = attack;
    const rule = { ...mode, on, skip, times: 0 };
    if (!isLate) await fixture.turn(rule);
    await before?.(fixture).catch(onlyTyped);
    if (isLate) await fixture.turn(rule);
    const bytes = PEAK_MEMORY.now();
    PEAK_MEMORY.forget();
    await call(fixture, { timeoutMs: stalls === true ? SHORT_MS : LONG_MS }).catch(onlyTyped);
    await fixture.turn();
    expect((await fixture.recordBytes(VICTIM)) ?? 0).toBeLessThan(RECORD_BYTES);
    const { runtime } = fixture;
    const { state = 'destroyed' } = (await runtime.getVm(VICTIM)) ?? {};
    if (state !== 'destroyed') {
      expect(await runtime.destroyVm(VICTIM)).toMatchObject({ state: 'destroyed' });
    }
    expect(PEAK_MEMORY.read() - bytes).toBeLessThan(MEMORY_BYTES);
    expect(await fixture.bystander()).toEqual(fixture.unharmed);
    expect(await fixture.jails()).toBe(1);
  });

  // One that each attack leaves behind would be ten here; the VM beside them may have its connections anew.
  it('leaves no descriptor open in our process', async () => {
    await expect.poll(() => openDescriptors().length).toBeLessThanOrEqual(descriptors + SLACK);
  });
});

/** A call may fail, but only as the contract says: no error of the system, none of a parser. */
function onlyTyped(error: unknown): void {
  if (!isVmRuntimeError(error) && (error as Error).name !== 'TimeoutError') throw error;
}
