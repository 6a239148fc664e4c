import type { JobKind } from '../contract/views.js';

const JOURNALLED = ['accepted', 'intent', 'effects', 'committed'] as const;
const SINGLE_WRITE = ['accepted', 'committed'] as const;

function steps(kind: JobKind, names: readonly string[]): readonly string[] {
  return names.map((name) => `${kind}:${name}`);
}

/**
 * The engine's own steps of each job, in order; the driver's lie between `intent` and `effects`. After a crash in any of them the next
 * open finds a state that is one of the table in ARCHITECTURE.md.
 */
export const LIFECYCLE_STEPS: Readonly<Record<JobKind, readonly string[]>> = {
  createVm: steps('createVm', JOURNALLED),
  startVm: steps('startVm', JOURNALLED),
  stopVm: steps('stopVm', JOURNALLED),
  pauseVm: steps('pauseVm', JOURNALLED),
  resumeVm: steps('resumeVm', JOURNALLED),
  snapshotVm: steps('snapshotVm', [
    'accepted',
    'intent',
    'staged',
    'captured',
    'published',
    'effects',
    'committed',
  ]),
  renameVm: steps('renameVm', SINGLE_WRITE),
  destroyVm: steps('destroyVm', JOURNALLED),
  forgetVm: steps('forgetVm', SINGLE_WRITE),
  deleteSnapshot: steps('deleteSnapshot', SINGLE_WRITE),
  verifySnapshot: [],
  observeVm: steps('observeVm', SINGLE_WRITE),
};
