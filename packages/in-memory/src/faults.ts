import { invalidArgument, onAbort, type VmEnding } from '@microvm/runtime';
import { DRIVER_METHODS, DRIVER_STEPS } from './driver/driver-points.js';
import type { GuestEnd } from './guest/guest-end.js';

interface FaultPlace {
  /**
   * A method of the driver, such as `boot`, or one of its steps, such as `boot:ready`: the fault comes after
   * the step's effect.
   */
  readonly at: string;
  /** Only for this VM, by the id it has at that time; default: any. */
  readonly vmId?: string;
  /** At the n-th time that this place is reached, from 1; default 1. */
  readonly nth?: number;
  /** From then on every time, instead of once. */
  readonly always?: boolean;
}

/** Something that goes wrong at a place in the driver. */
export type Fault = FaultPlace &
  (
    | { readonly kind: 'fail'; readonly error: Error }
    /**
     * Nothing happens until the operation is aborted or the fault removed; with `ignoresSignal` until it is
     * removed.
     */
    | { readonly kind: 'hang'; readonly ignoresSignal?: boolean }
    /** The guest or its VMM ends; default: the VMM is killed by SIGKILL. */
    | { readonly kind: 'crash'; readonly ending?: Partial<VmEnding> }
    /** `release` cannot remove these. */
    | { readonly kind: 'leave'; readonly left: readonly string[] }
  );

/** A fault that waits for its moment. */
export interface PlantedFault {
  /** How often it struck. */
  readonly hits: number;
  /** Resolves when it strikes for the first time. */
  readonly reached: Promise<void>;
  /** Removes the fault; a call that hangs by it goes on. */
  remove(): void;
}

/** What can be done to the guests of a runtime; the runtime attaches it. */
export interface GuestControl {
  end(vmId: string, end: GuestEnd): Promise<void>;
}

/** Where a fault may strike. */
export interface Strike {
  readonly at: string;
  readonly vmId: string;
  /** Absent for methods that nothing can abort. */
  readonly signal: AbortSignal | undefined;
  /** Told when a call hangs, and when it goes on. */
  onHang?(isHanging: boolean): void;
}

/** What the driver itself has to do about a fault. */
export type StrikeEffect = Extract<Fault, { readonly kind: 'crash' | 'leave' }>;

class Planted implements PlantedFault {
  readonly fault: Fault;
  readonly reached: Promise<void>;
  readonly #markReached: () => void;
  readonly #letGo = new Set<() => void>();
  readonly #onRemove: () => void;
  #seen = 0;
  #hits = 0;

  constructor(fault: Fault, onRemove: () => void) {
    let markReached!: () => void;
    this.fault = fault;
    this.reached = new Promise((resolve) => (markReached = resolve));
    this.#markReached = markReached;
    this.#onRemove = onRemove;
  }

  get hits(): number {
    return this.#hits;
  }

  remove(): void {
    this.#onRemove();
    for (const letGo of [...this.#letGo]) letGo();
  }

  /** Counts the call; true when the fault is due. */
  isDue(strike: Strike): boolean {
    const { at, vmId, nth = 1, always = false } = this.fault;
    if (at !== strike.at || (vmId !== undefined && vmId !== strike.vmId)) return false;
    this.#seen += 1;
    if (always ? this.#seen < nth : this.#seen !== nth) return false;
    this.#hits += 1;
    this.#markReached();
    return true;
  }

  hang(strike: Strike, ignoresSignal: boolean): Promise<void> {
    const signal = ignoresSignal ? undefined : strike.signal;
    return new Promise((resolve, reject) => {
      let stopWatching = (): void => undefined;
      const leave = (settle: () => void) => (): void => {
        this.#letGo.delete(goOn);
        stopWatching();
        strike.onHang?.(false);
        settle();
      };
      const goOn = leave(resolve);
      const abort = leave(() => reject(signal?.reason as Error));
      this.#letGo.add(goOn);
      strike.onHang?.(true);
      stopWatching = onAbort(signal, abort);
    });
  }
}

function checkPlace(fault: Fault): void {
  const known: readonly string[] = [...DRIVER_METHODS, ...DRIVER_STEPS];
  // A fault at a place that does not exist would never strike, and the test around it would pass for nothing.
  if (!known.includes(fault.at)) throw invalidArgument('fault.at', `one of ${known.join(', ')}`);
  if (fault.kind === 'leave' && fault.at !== 'release')
    throw invalidArgument('fault.at', 'release, to leave things');
}

/** Plants faults in an in-memory runtime and ends its guests, as a test wishes. */
export class Faults {
  readonly #planted = new Set<Planted>();
  #control: GuestControl | undefined;

  /** Plants a fault. Throws `MICROVM_INVALID_ARGUMENT` for a place that does not exist. */
  add(fault: Fault): PlantedFault {
    checkPlace(fault);
    const planted = new Planted({ ...fault }, () => this.#planted.delete(planted));
    this.#planted.add(planted);
    return planted;
  }

  /** Removes all faults; what hangs goes on. */
  clear(): void {
    for (const planted of [...this.#planted]) planted.remove();
  }

  /**
   * The guest of a running VM powers itself off. Errors: VM_NOT_FOUND; an `Error` when no guest runs there.
   */
  guestPowersOff(vmId: string): Promise<void> {
    return this.#guests().end(vmId, { reason: 'power-off' });
  }

  /** The guest of a running VM reboots itself. Errors: as `guestPowersOff`. */
  guestReboots(vmId: string): Promise<void> {
    return this.#guests().end(vmId, { reason: 'reboot' });
  }

  /** The kernel of a running VM panics. Errors: as `guestPowersOff`. */
  guestPanics(vmId: string): Promise<void> {
    return this.#guests().end(vmId, { reason: 'panic' });
  }

  /** The VMM of a running or paused VM is killed. Errors: as `guestPowersOff`. */
  vmmDies(vmId: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    return this.#guests().end(vmId, { reason: 'vmm-exit', signal });
  }

  /** Nothing is planted. */
  get isEmpty(): boolean {
    return this.#planted.size === 0;
  }

  /** Called by the runtime that these faults are for; the last one counts. */
  attach(control: GuestControl): void {
    this.#control = control;
  }

  /** Called by the driver at each of its places. Answers with what the driver itself has to do. */
  async strike(strike: Strike): Promise<StrikeEffect | undefined> {
    let effect: StrikeEffect | undefined;
    // All of them count the call before the first one strikes: it may end the call.
    for (const planted of [...this.#planted].filter((one) => one.isDue(strike))) {
      const { fault } = planted;
      switch (fault.kind) {
        case 'fail':
          throw fault.error;
        case 'hang':
          await planted.hang(strike, fault.ignoresSignal ?? false);
          break;
        case 'crash':
        case 'leave':
          effect = fault;
      }
    }
    return effect;
  }

  #guests(): GuestControl {
    if (this.#control === undefined) throw new Error('these faults belong to no open runtime');
    return this.#control;
  }
}

/** Makes a controller for `createInMemoryRuntime({ faults })`, with the faults given in it. */
export function createFaults(faults: readonly Fault[] = []): Faults {
  const controller = new Faults();
  for (const fault of faults) controller.add(fault);
  return controller;
}
