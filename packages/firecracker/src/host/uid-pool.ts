import { VmRuntimeError } from '@microvm/runtime';
import { claimUidBlock, releaseUidBlock, type UidBlockOptions, type UidRange } from './uid-block.js';

/** Hands out one user id per VM; a used one is never given twice. */
export class UidPool {
  readonly #block: UidBlockOptions;
  readonly #range: UidRange;
  readonly #used = new Set<number>();
  #next = 0;

  private constructor(block: UidBlockOptions, range: UidRange) {
    this.#block = block;
    this.#range = range;
  }

  /** `used`: the users of VMs that were made earlier. */
  static async open(block: UidBlockOptions, used: readonly number[]): Promise<UidPool> {
    const pool = new UidPool(block, await claimUidBlock(block, used.length > 0));
    for (const uid of used) pool.#used.add(uid);
    return pool;
  }

  take(): number {
    const { first, count } = this.#range;
    if (this.#used.size >= count) throw exhausted(count);
    // In turn, so that a user id rests as long as possible before it is another VM's.
    while (this.#used.has(first + this.#next)) this.#next = (this.#next + 1) % count;
    const uid = first + this.#next;
    this.#next = (this.#next + 1) % count;
    this.#used.add(uid);
    return uid;
  }

  /** No process and no file of it is left. */
  free(uid: number): void {
    this.#used.delete(uid);
  }

  /** Gives the block back when no VM is left that has one of its users. */
  async close(): Promise<void> {
    if (this.#used.size === 0) await releaseUidBlock(this.#block, this.#range);
  }
}

function exhausted(count: number): VmRuntimeError {
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `all ${count} user ids of this runtime are in use`, {
    details: { operation: 'choose a user id' },
    remedy: 'destroy VMs, or spread them over several state directories',
  });
}
