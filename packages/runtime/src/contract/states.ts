import type { VmVerb } from './verbs.js';

/**
 * - `created`: resources are there, the guest has not run.
 * - `running`: the guest runs. `paused`: its CPUs stand still, its memory is kept.
 * - `stopped`: the guest flushed and halted, or was stopped by force; the disks are kept.
 * - `crashed`: the guest panicked or its VMM died; the disks are kept as they were.
 * - `destroyed`: nothing is left but this tombstone.
 */
export const VM_STATES = ['created', 'running', 'paused', 'stopped', 'crashed', 'destroyed'] as const;

export type VmState = (typeof VM_STATES)[number];

interface Transition {
  readonly from: readonly VmState[];
  /** The state after success; `unchanged` keeps the one before. */
  readonly to: VmState | 'unchanged' | 'forgotten';
}

/**
 * The whole state machine: the guard, the documentation and the conformance suite all read this one table.
 */
export const TRANSITIONS: Readonly<Record<VmVerb, Transition>> = {
  startVm: { from: ['created', 'stopped', 'crashed', 'paused'], to: 'running' },
  stopVm: { from: ['running'], to: 'stopped' },
  pauseVm: { from: ['running'], to: 'paused' },
  resumeVm: { from: ['paused'], to: 'running' },
  snapshotVm: { from: ['created', 'running', 'paused', 'stopped', 'crashed'], to: 'unchanged' },
  renameVm: { from: ['created', 'running', 'paused', 'stopped', 'crashed'], to: 'unchanged' },
  setEnv: { from: ['created', 'running', 'paused', 'stopped', 'crashed'], to: 'unchanged' },
  setSecret: { from: ['running', 'paused'], to: 'unchanged' },
  deleteSecret: { from: ['running', 'paused'], to: 'unchanged' },
  destroyVm: { from: ['created', 'running', 'paused', 'stopped', 'crashed'], to: 'destroyed' },
  forgetVm: { from: ['destroyed'], to: 'forgotten' },
};

/** The verbs of that table. */
export const VM_VERBS = Object.keys(TRANSITIONS) as readonly VmVerb[];

/** States whose VMM holds a guest: a snapshot of one has memory, and the files it maps are in use. */
export const LIVE_STATES: readonly VmState[] = ['running', 'paused'];

export function isLive(state: VmState): boolean {
  return LIVE_STATES.includes(state);
}
