import type { Clock } from '../ports/clock.js';
import type { Content } from '../ports/content.js';
import type { DriverVm, Run, VmDriver } from '../ports/driver.js';
import { onAbort } from '../waiting/on-abort.js';
import { driverVm, type Vm } from './fleet.js';
import type { Job } from './job.js';
import type { VmRecord } from './record.js';
import type { StateStore } from './state-store.js';

/** Called at each journalled step; a test ends the process in it. */
export type OnStep = ((step: string) => void | Promise<void>) | undefined;

export interface DriverCallsParts {
  readonly driver: VmDriver;
  readonly store: StateStore;
  readonly content: Content | undefined;
  readonly clock: Clock;
  readonly abortGraceMs: number;
  readonly onStep: OnStep;
}

/** A driver that did not let go of an aborted method in time. */
export class UnresponsiveDriver extends Error {}

/**
 * How the engine calls the driver: for a job, with its abort and a grace after it; or to clean up, in bounded
 * time.
 */
export class DriverCalls {
  readonly driver: VmDriver;
  readonly abortGraceMs: number;
  readonly #parts: DriverCallsParts;

  constructor(parts: DriverCallsParts) {
    this.driver = parts.driver;
    this.abortGraceMs = parts.abortGraceMs;
    this.#parts = parts;
  }

  /** The VM as the driver sees it. */
  driverVm(vm: Vm): DriverVm {
    return driverVm(vm, this.#parts.store, this.#parts.content);
  }

  /**
   * Runs a driver's method for a job. After an abort the method has a grace to let go. A method that does not
   * let go is abandoned, and `UnresponsiveDriver` is thrown. A method that succeeds in spite of an abort
   * still rejects with the reason, and its effect is undone.
   */
  async perform<T>(job: Job, method: (run: Run) => Promise<T>): Promise<T> {
    const value = await this.performFinal(job, method);
    job.signal.throwIfAborted();
    return value;
  }

  /** The same for what cannot be undone: once the method succeeded, an abort came too late. */
  async performFinal<T>(job: Job, method: (run: Run) => Promise<T>): Promise<T> {
    job.signal.throwIfAborted();
    return this.#withGrace(job.signal, method(this.#run(job.signal, job)), this.abortGraceMs);
  }

  /**
   * Runs a driver's method that undoes or cleans up. The caller's abort does not reach the method, which has
   * a deadline instead.
   */
  async bounded<T>(method: (run: Run) => Promise<T>, boundMs = this.abortGraceMs): Promise<T> {
    const abort = new AbortController();
    const cancel = this.#parts.clock.schedule(boundMs, () =>
      abort.abort(new UnresponsiveDriver(`no answer in ${boundMs} ms`)),
    );
    try {
      return await this.#withGrace(abort.signal, method(this.#run(abort.signal)), 0);
    } finally {
      cancel();
    }
  }

  /** Ends the VMM; answers what could not be ended. */
  async halt(vm: Vm): Promise<VmRecord['cleanup']> {
    try {
      await this.bounded(() => this.driver.halt(this.driverVm(vm)));
      return undefined;
    } catch (error) {
      return { left: [`VMM of ${vm.record.instanceId}: ${(error as Error).message}`] };
    }
  }

  /** Removes everything of a VM; answers what could not be removed. */
  async release(vm: Vm): Promise<readonly string[]> {
    try {
      return await this.bounded(() => this.driver.release(this.driverVm(vm)));
    } catch (error) {
      return [`${this.driver.name}: ${(error as Error).message}`];
    }
  }

  #run(signal: AbortSignal, job?: Job): Run {
    const { onStep } = this.#parts;
    return {
      signal,
      progress: (progress) => job?.progress(progress),
      step: async (name) => void (await onStep?.(name)),
    };
  }

  async #withGrace<T>(signal: AbortSignal, flight: Promise<T>, graceMs: number): Promise<T> {
    let cancelGrace: (() => void) | undefined;
    let stopWatching: (() => void) | undefined;
    const abandoned = new Promise<never>((_, reject) => {
      const stuck = (): void =>
        reject(
          new UnresponsiveDriver(`the driver did not let go in ${graceMs} ms`, { cause: signal.reason }),
        );
      stopWatching = onAbort(signal, () => {
        cancelGrace = this.#parts.clock.schedule(graceMs, stuck);
      });
    });
    try {
      return await Promise.race([flight, abandoned]);
    } finally {
      flight.catch(() => undefined); // abandoned: what it may still throw has nobody to go to
      cancelGrace?.();
      stopWatching?.();
    }
  }
}
