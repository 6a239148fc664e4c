import type { VmEvent } from '../contract/events.js';
import type { VmState } from '../contract/states.js';
import type { Clock } from '../ports/clock.js';
import type { EventHub } from './event-hub.js';
import type { VmRecord } from './record.js';

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** An event before it has its time. */
export type Announcement = DistributiveOmit<VmEvent, 'at'>;

/** Tells the readers of events what happened. */
export class Announcer {
  readonly #hub: EventHub;
  readonly #clock: Clock;

  constructor(hub: EventHub, clock: Clock) {
    this.#hub = hub;
    this.#clock = clock;
  }

  emit(event: Announcement): void {
    if (!this.#hub.hasReaders) return;
    this.#hub.emit({ ...event, at: new Date(this.#clock.now()).toISOString() });
  }

  /** Announces a changed state; `from` is undefined for a new VM. */
  stateChanged(from: VmState | undefined, record: VmRecord): void {
    const { vmId, instanceId, state, ending } = record;
    if (from === state) return;
    this.emit({
      type: 'vm-state',
      vmId,
      instanceId,
      ...(from === undefined ? {} : { from }),
      to: state,
      ...(ending === undefined ? {} : { ending }),
    });
  }
}
