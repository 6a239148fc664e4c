import { LIFECYCLE_STEPS, type ErrorCode, type JobKind, type VmState } from '@microvm/runtime';
import { SNAPSHOT_ID, type JobMethod } from './calls.js';
import type { ProviderFixture } from './fixture.js';
import { isMethodSupported } from './support.js';

/** Properties of every method that is a job, for tests that are the same for all of them. */
export interface Trait {
  readonly method: JobMethod;
  /** The state in which the method is called; undefined for an id without a VM. */
  readonly from: VmState | undefined;
  /**
   * The result of a second call after the first one succeeded; undefined when the second call succeeds as
   * well.
   */
  readonly again: ErrorCode | undefined;
  /** States that an abort in the middle may leave. */
  readonly aborted: readonly (VmState | 'unknown')[];
}

const CREATE = { from: undefined, again: 'MICROVM_VM_ALREADY_EXISTS', aborted: ['unknown'] } as const;

/** By kind of job; nobody calls the runtime's own. */
export const TRAITS: Readonly<Record<JobKind, readonly Trait[]>> = {
  createVm: [
    { method: 'createVm', ...CREATE },
    { method: 'createVmWithSpec', ...CREATE },
  ],
  startVm: [
    { method: 'startVm', from: 'created', again: 'MICROVM_INVALID_TRANSITION', aborted: ['created'] },
  ],
  stopVm: [
    {
      method: 'stopVm',
      from: 'running',
      again: 'MICROVM_INVALID_TRANSITION',
      aborted: ['running', 'stopped'],
    },
  ],
  pauseVm: [
    {
      method: 'pauseVm',
      from: 'running',
      again: 'MICROVM_INVALID_TRANSITION',
      aborted: ['running', 'paused'],
    },
  ],
  resumeVm: [
    { method: 'resumeVm', from: 'paused', again: 'MICROVM_INVALID_TRANSITION', aborted: ['paused'] },
  ],
  snapshotVm: [
    { method: 'snapshotVm', from: 'running', again: 'MICROVM_SNAPSHOT_ALREADY_EXISTS', aborted: ['running'] },
  ],
  renameVm: [{ method: 'renameVm', from: 'running', again: 'MICROVM_VM_NOT_FOUND', aborted: ['running'] }],
  setEnv: [{ method: 'setEnv', from: 'running', again: undefined, aborted: ['running'] }],
  setSecret: [{ method: 'setSecret', from: 'running', again: undefined, aborted: ['running'] }],
  deleteSecret: [{ method: 'deleteSecret', from: 'running', again: undefined, aborted: ['running'] }],
  destroyVm: [
    { method: 'destroyVm', from: 'running', again: 'MICROVM_INVALID_TRANSITION', aborted: ['crashed'] },
  ],
  forgetVm: [
    { method: 'forgetVm', from: 'destroyed', again: 'MICROVM_VM_NOT_FOUND', aborted: ['destroyed'] },
  ],
  deleteSnapshot: [
    { method: 'deleteSnapshot', from: 'created', again: 'MICROVM_SNAPSHOT_NOT_FOUND', aborted: ['created'] },
  ],
  verifySnapshot: [{ method: 'verifySnapshot', from: 'created', again: undefined, aborted: ['created'] }],
  observeVm: [],
  rebootVm: [],
};

/** The traits of what the provider can do. */
export function traitsOf({ capabilities }: ProviderFixture): readonly Trait[] {
  const { diskSnapshot, memorySnapshot } = capabilities;
  return Object.values(TRAITS)
    .flat()
    .flatMap((trait) => {
      if (!isMethodSupported(capabilities, trait.method, trait.from ?? 'created')) return [];
      const needsSnapshot = trait.method === 'deleteSnapshot' || trait.method === 'verifySnapshot';
      // The VM of these two is there to have a snapshot: in whichever state the provider can take one.
      if (needsSnapshot && !diskSnapshot && memorySnapshot)
        return [{ ...trait, from: 'running', aborted: ['running'] }];
      return [trait];
    });
}

export function kindOf(method: JobMethod): JobKind {
  return method === 'createVmWithSpec' ? 'createVm' : method;
}

/** The intent is written, the effects come; undefined for a method with a single write, or none. */
export function intentOf(method: JobMethod): string | undefined {
  const step = `${kindOf(method)}:intent`;
  return LIFECYCLE_STEPS[kindOf(method)].includes(step) ? step : undefined;
}

/** A step in which the method has begun and not ended; undefined for a method without steps. */
export function middleOf(method: JobMethod): string | undefined {
  return intentOf(method) ?? LIFECYCLE_STEPS[kindOf(method)][0];
}

/** Makes what the method needs in the shared runtime; answers the id to call it with. */
export async function arrangeFor(fixture: ProviderFixture, trait: Trait): Promise<string> {
  if (trait.from === undefined) return fixture.newId();
  const { vmId } = await fixture.arrange(trait.from);
  if (trait.method === 'deleteSnapshot' || trait.method === 'verifySnapshot') {
    const runtime = await fixture.open();
    await runtime.snapshotVm(vmId, SNAPSHOT_ID);
  }
  return vmId;
}
