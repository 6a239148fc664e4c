import { deepStrictEqual, ok } from 'node:assert/strict';
import {
  isLive,
  type Capabilities,
  type InterruptedOutcome,
  type JobKind,
  type VmRuntime,
  type VmSpec,
  type VmState,
} from '@microvm/runtime';
import { refTo, renamed, SECRET, VARIABLES, VERB_CALLS } from '../calls.js';
import type { GuestEnding } from '../factory.js';
import { variablesIn } from '../variables-in.js';

/** The runtime and the names that an operation works with. */
export interface ScenarioInput {
  readonly runtime: VmRuntime;
  readonly vmId: string;
  /** A memory snapshot; undefined where the provider can take none. */
  readonly golden: string | undefined;
  /** The spec of a VM that is made without a snapshot. */
  readonly spec: VmSpec;
  readonly idempotencyKey: string;
  /** Makes the VM's guest end by itself. */
  readonly endGuest: (how: GuestEnding) => Promise<void>;
}

type State = VmState | 'unknown';

/**
 * An operation in which the process is killed, and what the next process must find: the table of outcomes in
 * docs/contract.md.
 */
export interface CrashScenario {
  readonly title: string;
  readonly kind: JobKind;
  /** The VM before it; undefined for none. */
  readonly from: VmState | undefined;
  /** The VM has a snapshot before it. */
  readonly hasSnapshot?: boolean;
  /** The VM has a secret before it. */
  readonly hasSecret?: boolean;
  /** Killed before the intent: the states that the VM may be in, where they are not that of `from`. */
  readonly before?: readonly State[];
  /**
   * Killed between the intent and the commit: what is said of the job, and the states that the VM may be in.
   */
  readonly during: { readonly outcome: InterruptedOutcome; readonly states: readonly State[] };
  /** Killed after the commit. */
  readonly after: State;
  needs(capabilities: Capabilities): boolean;
  /** The guest itself has to do something. */
  readonly needsLiveGuest?: boolean;
  act(input: ScenarioInput): Promise<unknown>;
  /** Throws unless what the operation is about is as it must be afterwards. */
  check?(input: ScenarioInput, phase: Phase): Promise<void>;
}

const always = (): boolean => true;

const create = ({ runtime, vmId, spec, idempotencyKey }: ScenarioInput): Promise<unknown> =>
  runtime.createVmWithSpec(vmId, spec, { idempotencyKey });

const restore = ({ runtime, vmId, golden = '', idempotencyKey }: ScenarioInput): Promise<unknown> =>
  runtime.createVmWithSpec(vmId, { restoreFrom: { snapshotUid: golden } }, { idempotencyKey });

const verb =
  (name: keyof typeof VERB_CALLS) =>
  ({ runtime, vmId, idempotencyKey }: ScenarioInput): Promise<unknown> =>
    VERB_CALLS[name](runtime, vmId, { idempotencyKey });

/** The guest ends by itself; resolves when the runtime's own job about it has ended. */
const endsByItself =
  (how: GuestEnding) =>
  async ({ runtime, vmId, endGuest }: ScenarioInput): Promise<void> => {
    const events = runtime.events();
    await endGuest(how);
    for await (const event of events) {
      if (event.type === 'job' && event.job.vmId === vmId && event.job.endedAt !== undefined) return;
    }
  };

/** The view and the guest agree on whether the variables were set. */
async function hasEnvironment({ runtime, vmId }: ScenarioInput, phase: Phase): Promise<void> {
  const expected = phase === 'after' ? VARIABLES : {};
  const view = await runtime.getVm(vmId);
  deepStrictEqual({ ...view?.spec.env }, expected);
  if (view?.state !== 'running') return;
  deepStrictEqual(await variablesIn(runtime, vmId, Object.keys(VARIABLES)), expected);
}

/** Whatever became of the job: the owner that was given the secret is dead, so the guest has none. */
async function hasNoSecret({ runtime, vmId }: ScenarioInput, phase: Phase): Promise<void> {
  const view = await runtime.getVm(vmId);
  const { secrets = [] } = view ?? {};
  ok(secrets.every(({ name, state }) => name === SECRET.name && state === 'missing'));
  const kind = runtime.recovery.interrupted[0]?.kind;
  if (kind === 'setSecret' && phase === 'during') deepStrictEqual(secrets, []);
  if (view?.state !== 'running') return;
  const guest = await runtime.guest(vmId);
  const { exitCode } = await guest.exec({ argv: ['cat', `/run/secrets/${SECRET.name}`], input: '' }).result;
  deepStrictEqual(exitCode, 1);
}

type NonEmpty<T> = readonly [T, ...T[]];

/** Every kind of job has a scenario, or has no step to be killed in. */
type CrashScenarios = {
  readonly [K in Exclude<JobKind, 'verifySnapshot'>]: NonEmpty<CrashScenario & { readonly kind: K }>;
} & {
  readonly verifySnapshot: readonly [];
};

export const CRASH_SCENARIOS: CrashScenarios = {
  createVm: [
    {
      title: 'createVm',
      kind: 'createVm',
      from: undefined,
      during: { outcome: 'undone', states: ['unknown'] },
      after: 'created',
      needs: always,
      act: create,
    },
    {
      title: "createVm on a destroyed VM's id",
      kind: 'createVm',
      from: 'destroyed',
      during: { outcome: 'undone', states: ['destroyed'] },
      after: 'created',
      needs: always,
      act: create,
    },
    {
      title: 'restore',
      kind: 'createVm',
      from: undefined,
      during: { outcome: 'undone', states: ['unknown'] },
      after: 'running',
      needs: ({ memorySnapshot }) => memorySnapshot,
      act: restore,
    },
  ],
  startVm: [
    {
      title: 'startVm',
      kind: 'startVm',
      from: 'created',
      during: { outcome: 'undone', states: ['created'] },
      after: 'running',
      needs: always,
      act: verb('startVm'),
    },
  ],
  stopVm: [
    {
      title: 'stopVm',
      kind: 'stopVm',
      from: 'running',
      during: { outcome: 'carried-through', states: ['stopped'] },
      after: 'stopped',
      needs: always,
      act: verb('stopVm'),
    },
  ],
  pauseVm: [
    {
      title: 'pauseVm',
      kind: 'pauseVm',
      from: 'running',
      during: { outcome: 'as-found', states: ['running', 'paused'] },
      after: 'paused',
      needs: ({ pause }) => pause,
      act: verb('pauseVm'),
    },
  ],
  resumeVm: [
    {
      title: 'resumeVm',
      kind: 'resumeVm',
      from: 'paused',
      during: { outcome: 'undone', states: ['paused'] },
      after: 'running',
      needs: ({ pause }) => pause,
      act: verb('resumeVm'),
    },
  ],
  snapshotVm: [
    {
      title: 'snapshotVm of a running VM',
      kind: 'snapshotVm',
      from: 'running',
      during: { outcome: 'undone', states: ['running'] },
      after: 'running',
      needs: ({ memorySnapshot }) => memorySnapshot,
      act: verb('snapshotVm'),
    },
    {
      title: 'snapshotVm of a created VM',
      kind: 'snapshotVm',
      from: 'created',
      during: { outcome: 'undone', states: ['created'] },
      after: 'created',
      needs: ({ diskSnapshot }) => diskSnapshot,
      act: verb('snapshotVm'),
    },
  ],
  renameVm: [
    {
      title: 'renameVm',
      kind: 'renameVm',
      from: 'running',
      during: { outcome: 'undone', states: ['running'] },
      after: 'running',
      needs: ({ rename }) => rename,
      act: verb('renameVm'),
    },
  ],
  setEnv: [
    {
      title: 'setEnv of a running VM',
      kind: 'setEnv',
      from: 'running',
      during: { outcome: 'undone', states: ['running'] },
      after: 'running',
      needs: ({ guestAgent }) => guestAgent,
      needsLiveGuest: true,
      act: verb('setEnv'),
      check: hasEnvironment,
    },
    {
      title: 'setEnv of a created VM',
      kind: 'setEnv',
      from: 'created',
      during: { outcome: 'undone', states: ['created'] },
      after: 'created',
      needs: ({ guestAgent }) => guestAgent,
      needsLiveGuest: true,
      act: verb('setEnv'),
      check: hasEnvironment,
    },
  ],
  setSecret: [
    {
      title: 'setSecret of a running VM',
      kind: 'setSecret',
      from: 'running',
      during: { outcome: 'undone', states: ['running'] },
      after: 'running',
      needs: ({ guestAgent }) => guestAgent,
      needsLiveGuest: true,
      act: verb('setSecret'),
      check: hasNoSecret,
    },
    {
      title: 'setSecret of a paused VM',
      kind: 'setSecret',
      from: 'paused',
      during: { outcome: 'undone', states: ['paused'] },
      after: 'paused',
      needs: ({ guestAgent, pause }) => guestAgent && pause,
      needsLiveGuest: true,
      act: verb('setSecret'),
      check: hasNoSecret,
    },
  ],
  deleteSecret: [
    {
      title: 'deleteSecret',
      kind: 'deleteSecret',
      from: 'running',
      hasSecret: true,
      during: { outcome: 'undone', states: ['running'] },
      after: 'running',
      needs: ({ guestAgent }) => guestAgent,
      needsLiveGuest: true,
      act: verb('deleteSecret'),
      check: hasNoSecret,
    },
  ],
  destroyVm: [
    {
      title: 'destroyVm',
      kind: 'destroyVm',
      from: 'running',
      during: { outcome: 'carried-through', states: ['destroyed'] },
      after: 'destroyed',
      needs: always,
      act: verb('destroyVm'),
    },
  ],
  forgetVm: [
    {
      title: 'forgetVm',
      kind: 'forgetVm',
      from: 'destroyed',
      during: { outcome: 'undone', states: ['destroyed'] },
      after: 'unknown',
      needs: always,
      act: verb('forgetVm'),
    },
  ],
  deleteSnapshot: [
    {
      title: 'deleteSnapshot',
      kind: 'deleteSnapshot',
      from: 'created',
      hasSnapshot: true,
      during: { outcome: 'undone', states: ['created'] },
      after: 'created',
      needs: ({ diskSnapshot }) => diskSnapshot,
      act: ({ runtime, vmId, idempotencyKey }) => runtime.deleteSnapshot(refTo(vmId), { idempotencyKey }),
    },
  ],
  verifySnapshot: [],
  observeVm: [
    {
      title: 'the guest powers off',
      kind: 'observeVm',
      from: 'running',
      before: ['stopped', 'crashed'],
      during: { outcome: 'as-found', states: ['stopped'] },
      after: 'stopped',
      needs: always,
      needsLiveGuest: true,
      act: endsByItself('power-off'),
    },
  ],
  rebootVm: [
    {
      title: 'the guest reboots',
      kind: 'rebootVm',
      from: 'running',
      // The VM's VMM has ended or stands still, and no process recorded the reason.
      before: ['stopped', 'crashed'],
      during: { outcome: 'as-found', states: ['stopped'] },
      after: 'running',
      needs: always,
      needsLiveGuest: true,
      act: endsByItself('reboot'),
    },
  ],
};

const ALL: readonly CrashScenario[] = Object.values(CRASH_SCENARIOS).flat();

/** The scenarios of what a provider can do. */
export function scenariosFor(capabilities: Capabilities, hasLiveGuests: boolean): readonly CrashScenario[] {
  return ALL.filter(
    (scenario) => scenario.needs(capabilities) && (hasLiveGuests || scenario.needsLiveGuest !== true),
  );
}

export function scenarioOf(title: string): CrashScenario {
  const scenario = ALL.find((one) => one.title === title);
  if (scenario === undefined) throw new Error(`no crash scenario "${title}"`);
  return scenario;
}

/** The step of an operation in which the process was killed. */
export type Phase = 'before' | 'during' | 'after';

export function phaseOf({ kind }: CrashScenario, step: string): Phase {
  if (step === `${kind}:accepted`) return 'before';
  return step === `${kind}:committed` ? 'after' : 'during';
}

/** The state of a VM after the process has died: a VM that nobody adopts is lost with the process. */
export function afterDeath(capabilities: Capabilities, state: State): State {
  return state !== 'unknown' && isLive(state) && !capabilities.adoption ? 'crashed' : state;
}

/** The id that the VM of a scenario has afterwards. */
export function idAfter({ kind }: CrashScenario, phase: Phase, vmId: string): string {
  return kind === 'renameVm' && phase === 'after' ? renamed(vmId) : vmId;
}

/** Whether the scenario's snapshot must exist afterwards. */
export function hasSnapshotAfter({ kind, hasSnapshot = false }: CrashScenario, phase: Phase): boolean {
  if (kind === 'snapshotVm') return phase === 'after';
  return hasSnapshot && phase !== 'after';
}
