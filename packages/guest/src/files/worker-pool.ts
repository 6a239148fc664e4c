import { isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import { watchDeadline } from '../deadline.js';
import type { StreamQueue } from '../stream-queue.js';
import type { CheckedOptions } from './file-arguments.js';
import { fileError } from './file-error.js';
import { FileWorker } from './file-worker.js';
import { Places } from './places.js';

/** Calls of one guest that run at once. */
const MAX_CALLS = 16;
/** Streams, trees and open files of one guest. */
const MAX_HELD = 64;
/** Workers that wait for the next call. */
const MAX_IDLE = 4;
const IDLE_MS = 2_000;
const EMFILE = 24;

interface Idle {
  readonly worker: FileWorker;
  readonly timer: NodeJS.Timeout;
}

export interface Task<T> {
  /** For errors. */
  readonly operation: string;
  readonly options: CheckedOptions;
  /**
   * `call`: short, its worker may serve another one afterwards. `stream`: as long as somebody reads or
   * writes. `handle`: the worker stays the caller's when the task is done.
   */
  readonly use: 'call' | 'stream' | 'handle';
  readonly run: (worker: FileWorker) => Promise<T>;
}

/**
 * The file workers of one guest. A task has a worker for itself, so that one which blocks in the guest holds
 * up no other. A worker whose call is done waits a little for the next call of its user.
 */
export class WorkerPool {
  readonly #queue: StreamQueue;
  readonly #onAdded: () => void;
  readonly #calls = new Places(MAX_CALLS);
  readonly #held = new Places(MAX_HELD);
  readonly #idle: Idle[] = [];

  /** `onAdded`: a worker waits in the queue for a session. */
  constructor(queue: StreamQueue, onAdded: () => void) {
    this.#queue = queue;
    this.#onAdded = onAdded;
  }

  /**
   * Gives a worker to the task until the task settles. Deadline and signal reject at once, and end the worker
   * in the guest.
   */
  run<T>(task: Task<T>): Promise<T> {
    const { operation, options, use } = task;
    const { signal, timeoutMs } = options;
    const places = use === 'call' ? this.#calls : this.#held;
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    // One that waited for another open file to be closed might wait for its own caller.
    if (use === 'handle' && places.areTaken) return Promise.reject(tooManyOpen());
    return new Promise((resolve, reject) => {
      let worker: FileWorker | undefined;
      const begin = (): void => {
        const taken = this.#take(options.user, use);
        worker = taken;
        const settle = (isDone: boolean): void => {
          stopWatching();
          this.#release(taken, places, isDone ? use : 'stream');
        };
        task.run(taken).then(
          (value) => {
            settle(true);
            resolve(value);
          },
          (error: unknown) => {
            // A worker that has told of a failure can do the next thing.
            settle(use === 'call');
            reject(error);
          },
        );
      };
      const stopWatching = watchDeadline(operation, withLimits(signal, timeoutMs), (reason) => {
        const isBegun = worker === undefined ? !places.withdraw(begin) : worker.cancel(reason);
        const isLate = isVmRuntimeError(reason, 'MICROVM_TIMEOUT') && !isBegun;
        reject(isLate ? this.#busy(operation, places) : (reason as Error));
      });
      places.take(begin);
    });
  }

  #take(user: string, use: Task<unknown>['use']): FileWorker {
    const isIdle = (idle: Idle): boolean => idle.worker.user === user;
    const at = use !== 'stream' && this.#queue.isReady ? this.#idle.findIndex(isIdle) : -1;
    const [idle] = at < 0 ? [] : this.#idle.splice(at, 1);
    if (idle !== undefined) {
      clearTimeout(idle.timer);
      return idle.worker;
    }
    const worker = new FileWorker(this.#queue, user);
    worker.start();
    this.#onAdded();
    return worker;
  }

  #release(worker: FileWorker, places: Places, use: Task<unknown>['use']): void {
    if (use === 'handle' && !worker.isOver) {
      worker.onceOver(() => places.give());
      return;
    }
    places.give();
    // The reader of a stream may keep its worker's credit for long.
    if (use === 'call') this.#keep(worker);
    else worker.end();
  }

  #keep(worker: FileWorker): void {
    if (worker.isOver) return;
    if (this.#idle.length >= MAX_IDLE) this.#letGo(this.#idle[0]?.worker);
    const timer = setTimeout(() => this.#letGo(worker), IDLE_MS);
    timer.unref();
    worker.onceOver(() => this.#forget(worker));
    this.#idle.push({ worker, timer });
  }

  #letGo(worker: FileWorker | undefined): void {
    if (worker === undefined) return;
    this.#forget(worker);
    worker.end();
  }

  #forget(worker: FileWorker): void {
    const at = this.#idle.findIndex((idle) => idle.worker === worker);
    if (at < 0) return;
    const [idle] = this.#idle.splice(at, 1);
    clearTimeout(idle?.timer);
  }

  #busy(operation: string, places: Places): VmRuntimeError {
    const { vmId } = this.#queue.vm;
    const reason = places.areTaken ? `${places.most} calls on its files have not ended` : this.#queue.reason;
    const message = `${operation} in the guest of "${vmId}": not begun: ${reason}`;
    return new VmRuntimeError('MICROVM_GUEST_BUSY', message, { details: { vmId, reason } });
  }
}

export function withLimits(
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
): { readonly signal?: AbortSignal; readonly timeoutMs?: number } {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

function tooManyOpen(): Error {
  return fileError({ errno: EMFILE, syscall: 'open', path: Buffer.alloc(0) });
}
