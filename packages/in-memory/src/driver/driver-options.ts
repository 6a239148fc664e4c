import type { Capabilities, Clock, HostCalls } from '@microvm/runtime';
import type { HostFiles } from './disks.js';
import type { Faults } from '../faults.js';
import type { GuestScript } from '../guest/guest-script.js';
import type { ImagesInMemory } from '../images.js';
import type { OnBreach } from '../rules.js';
import type { Latencies } from './method-runner.js';
import type { World } from '../world.js';

/** What the driver is made of. */
export interface InMemoryDriverOptions {
  readonly capabilities: Capabilities;
  readonly clock: Clock;
  readonly faults: Faults;
  readonly guest: GuestScript;
  readonly latencies: Latencies;
  /** Files of the host; undefined: every path names one, an empty one. */
  readonly hostFiles: HostFiles | undefined;
  readonly images: Pick<ImagesInMemory, 'filesOf'> | undefined;
  /** What each disk may hold. */
  readonly diskLimitBytes: number;
  readonly cpuModel: string;
  readonly world: World;
  /** VMs outlive the driver: its world belongs to somebody else. */
  readonly isShared: boolean;
  readonly onBreach: OnBreach;
  /** Needed when VMs have folders. */
  readonly hostCalls: Pick<HostCalls, 'writeDurable'> | undefined;
}
