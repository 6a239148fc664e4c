import type { VmEnding } from '../contract/views.js';
import { withoutUndefined } from '../contract/without-undefined.js';
import { stateAfter } from './ending.js';
import type { VmRecord } from './record.js';

/** What changes in a record; undefined removes a field. */
export type RecordPatch = { readonly [K in keyof VmRecord]?: VmRecord[K] | undefined };

/** The record with its changes, and with the time of the change where the state is another one. */
export function patched(before: VmRecord, patch: RecordPatch, at: string): VmRecord {
  const hasNewState = patch.state !== undefined && patch.state !== before.state;
  return withoutUndefined({
    ...before,
    ...(hasNewState ? { changedAt: at } : {}),
    ...patch,
  }) as unknown as VmRecord;
}

/** What an end changes in a record. */
export function endedPatch(ending: VmEnding): RecordPatch {
  const { state, stop } = stateAfter(ending);
  return { state, stop, ending, vmm: undefined, memoryFrom: undefined, unrepaired: undefined };
}

/** What the start of a new life changes in a record. */
export const NEW_LIFE: RecordPatch = {
  state: 'running',
  ending: undefined,
  stop: undefined,
  cleanup: undefined,
};
