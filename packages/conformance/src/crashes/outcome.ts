import { deepStrictEqual, ok } from 'node:assert/strict';
import { OWN_JOB_KINDS, type VmRuntime, type VmState } from '@microvm/runtime';
import { SNAPSHOT_ID } from '../calls.js';
import {
  hasSnapshotAfter,
  idAfter,
  type CrashScenario,
  type Phase,
  type ScenarioInput,
} from './scenarios.js';

// What the next owner of a state directory must find. No vitest in here: child processes use it too.

type State = VmState | 'unknown';

/** An operation that broke off, and what has become of it since. */
export interface BrokenOff {
  readonly scenario: CrashScenario;
  /** Where it broke off. */
  readonly phase: Phase;
  readonly input: ScenarioInput;
  /** What a state comes to by whatever broke the operation off. */
  readonly afterDeath: (state: State) => State;
}

/**
 * Throws an `AssertionError` unless the VM, its snapshots and the report about it are what the table of
 * outcomes says.
 */
export async function checkOutcome(brokenOff: BrokenOff): Promise<void> {
  await checkVm(brokenOff);
  await brokenOff.scenario.check?.(brokenOff.input, brokenOff.phase);
  await checkReport(brokenOff);
}

async function checkVm({ scenario, phase, input, afterDeath }: BrokenOff): Promise<void> {
  const { runtime, vmId } = input;
  const { from = 'unknown', before = [from], during, after } = scenario;
  const states = { before, during: during.states, after: [after] }[phase];
  const expected = states.map(afterDeath);
  const id = idAfter(scenario, phase, vmId);
  const state = await stateIn(runtime, id);
  ok(expected.includes(state), `"${id}" is ${state}, expected ${expected.join(' or ')}`);
  if (id !== vmId) deepStrictEqual(await stateIn(runtime, vmId), 'unknown');
  const view = await runtime.getVm(id);
  deepStrictEqual(view?.operation, undefined);
  const names = (view?.snapshots ?? []).map(({ snapshotId }) => snapshotId);
  deepStrictEqual(names, hasSnapshotAfter(scenario, phase) ? [SNAPSHOT_ID] : []);
  for (const { snapshotUid } of view?.snapshots ?? []) await runtime.verifySnapshot({ snapshotUid });
  deepStrictEqual(runtime.recovery.corruptSnapshots, []);
}

/** The state of a VM, or that there is none. */
async function stateIn(runtime: VmRuntime, vmId: string): Promise<State> {
  return (await runtime.getVm(vmId))?.state ?? 'unknown';
}

async function checkReport({ scenario, phase, input }: BrokenOff): Promise<void> {
  const { runtime, vmId } = input;
  const { interrupted } = runtime.recovery;
  if (phase !== 'during') {
    deepStrictEqual(interrupted, []);
    return;
  }
  const { kind, during } = scenario;
  const view = await runtime.getVm(vmId);
  const state = view === undefined || view.state === 'destroyed' ? undefined : view.state;
  deepStrictEqual(
    interrupted.map((one) => ({ kind: one.kind, vmId: one.vmId, outcome: one.outcome, state: one.state })),
    [{ kind, vmId, outcome: during.outcome, state: state ?? interrupted[0]?.state }],
  );
  const job = await runtime.getJob(interrupted[0]?.jobId ?? '');
  deepStrictEqual(
    { kind: job?.kind, vmId: job?.vmId, status: job?.status, outcome: job?.outcome },
    { kind, vmId, status: 'interrupted', outcome: during.outcome },
  );
}

/**
 * Whether the same call with its key must answer with the first call's result. Nobody calls the runtime's own
 * jobs.
 */
export function isReplayed({ kind, during }: CrashScenario, phase: Phase): boolean {
  if (OWN_JOB_KINDS.some((own) => own === kind)) return false;
  return phase === 'after' || (phase === 'during' && during.outcome === 'carried-through');
}
