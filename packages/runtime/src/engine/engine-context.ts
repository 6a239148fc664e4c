import type { Capabilities } from '../contract/capabilities.js';
import type { VmSpec } from '../contract/spec.js';
import type { VmView } from '../contract/views.js';
import type { Clock } from '../ports/clock.js';
import type { Content, ContentCall } from '../ports/content.js';
import type { VmDriver } from '../ports/driver.js';
import type { Images } from '../ports/images.js';
import type { Announcer } from './announcer.js';
import type { DriverCalls } from './driver-calls.js';
import type { Fingerprints } from './fingerprints.js';
import { vmView, type Fleet, type Vm } from './fleet.js';
import type { JobBook } from './job-book.js';
import type { Journal } from './journal.js';
import type { SnapshotCatalogue } from './snapshot-catalogue.js';
import type { StateStore } from './state-store.js';

/** Where an empty disk of this size is; it is made first where it is not there yet. */
export type BlankDisk = (call: ContentCall & { readonly sizeMib: number }) => Promise<string>;

/** What verbs work with. */
export interface EngineContext {
  readonly driver: VmDriver;
  readonly capabilities: Capabilities;
  readonly calls: DriverCalls;
  readonly journal: Journal;
  readonly announcer: Announcer;
  readonly fleet: Fleet;
  readonly catalogue: SnapshotCatalogue;
  readonly store: StateStore;
  /** Undefined for a driver whose VMs read no files of the host. */
  readonly content: Content | undefined;
  /** Undefined for a runtime whose VMs are made from no images. */
  readonly images: Images | undefined;
  /** The path of an empty disk: of each VM with an image, the root drive starts as a copy of it. */
  readonly blankDisk: BlankDisk;
  readonly book: JobBook;
  readonly clock: Clock;
  readonly fingerprints: Fingerprints;
  /** Spec fields that every VM gets unless its own spec says otherwise. */
  readonly defaults: VmSpec;
}

/** A VM as callers see it. */
export function viewOf({ catalogue }: EngineContext, vm: Vm): VmView {
  return vmView(vm, catalogue);
}
