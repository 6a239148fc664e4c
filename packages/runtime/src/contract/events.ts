import type { JobView, SnapshotView, VmEnding } from './views.js';
import type { VmState } from './states.js';

/** A change, told in order. `at` is ISO 8601 in UTC. */
export type VmEvent =
  | {
      readonly type: 'vm-state';
      readonly at: string;
      readonly vmId: string;
      readonly instanceId: string;
      /** Absent for a new VM. */
      readonly from?: VmState;
      readonly to: VmState;
      readonly ending?: VmEnding;
    }
  | {
      readonly type: 'vm-renamed';
      readonly at: string;
      readonly instanceId: string;
      readonly from: string;
      readonly to: string;
    }
  | { readonly type: 'vm-forgotten'; readonly at: string; readonly vmId: string; readonly instanceId: string }
  | {
      readonly type: 'guest-rebooted';
      readonly at: string;
      readonly vmId: string;
      readonly instanceId: string;
    }
  | { readonly type: 'snapshot-published'; readonly at: string; readonly snapshot: SnapshotView }
  | { readonly type: 'snapshot-deleted'; readonly at: string; readonly snapshotUid: string }
  | { readonly type: 'job'; readonly at: string; readonly job: JobView }
  /** This reader was too slow: `missed` events were dropped before the next one. */
  | { readonly type: 'lagged'; readonly at: string; readonly missed: number };
