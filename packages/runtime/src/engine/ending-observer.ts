import type { OwnJobKind } from '../contract/verbs.js';
import type { VmEnding } from '../contract/views.js';
import type { EngineContext } from './engine-context.js';
import type { Vm } from './fleet.js';
import { endedPatch } from './record-patch.js';

/** Runs one of the runtime's own jobs on a VM. */
export type RunOwnJob = (kind: OwnJobKind, vm: Vm) => Promise<unknown>;

/**
 * Sees to guests and VMMs that end by themselves: the view is true at once, a job of the runtime's own clears
 * away what is left.
 */
export class EndingObserver {
  readonly #context: EngineContext;
  readonly #run: RunOwnJob;
  #isStopped = false;

  constructor(context: EngineContext, run: RunOwnJob) {
    this.#context = context;
    this.#run = run;
  }

  /** The driver's word that a guest or its VMM ended by itself. */
  ended(instanceId: string, ending: VmEnding): void {
    if (this.#isStopped) return; // the next owner of the state directory finds it out
    const vm = this.#context.fleet.byInstance(instanceId);
    if (vm === undefined || vm.record.state === 'destroyed') return;
    vm.unhandledEnding = ending;
    this.look(vm);
  }

  /**
   * Deals with an end that no job has dealt with. A job that is at work looks at ends itself when it is done.
   */
  look(vm: Vm): void {
    const ending = vm.unhandledEnding;
    if (this.#isStopped || ending === undefined || vm.record.operation !== undefined) return;
    const restarts = ending.reason === 'reboot' && vm.record.spec.onGuestReboot === 'restart';
    if (!restarts) this.#context.journal.changeInMemory(vm, endedPatch(ending));
    // The job's own record says how the job failed.
    void this.#run(restarts ? 'rebootVm' : 'observeVm', vm).catch(() => undefined);
  }

  /** No job of the runtime's own begins from now on. */
  stop(): void {
    this.#isStopped = true;
  }
}
