import { VmRuntimeError } from '@microvm/runtime';
import { userIdsInUse } from '../process/user-processes.js';
import { withRegistry } from './registry-lock.js';
import { blockOf, claimBlocks, rangeOf } from './uid-block.js';
import { UidClaims, type Claimant, type SignsOfLife } from './uid-claims.js';

export interface UidPoolOptions extends Claimant, Pick<SignsOfLife, 'hasCgroup'> {
  /**
   * The registry in which the runtimes of this host say which user ids are theirs; gone with the next boot.
   */
  readonly registryDir: string;
}

/**
 * Hands out one user id per VM: never an id that a VM or a living process has, and a used id as late as
 * possible.
 */
export class UidPool {
  readonly #options: UidPoolOptions;
  readonly #claims: UidClaims;
  readonly #blocks: readonly [number, ...number[]];
  readonly #used: Set<number>;
  #next = 0;

  private constructor(
    options: UidPoolOptions,
    claims: UidClaims,
    blocks: readonly [number, ...number[]],
    used: Set<number>,
  ) {
    this.#options = options;
    this.#claims = claims;
    this.#blocks = blocks;
    this.#used = used;
  }

  /** `used`: the users of VMs that were made earlier, and of what could not be removed of others. */
  static async open(options: UidPoolOptions, used: readonly number[]): Promise<UidPool> {
    const { registryDir, ownerId, stateDir, hasCgroup } = options;
    const own = new Set(used);
    const alive = await userIdsInUse();
    const strangers = new Set([...alive].filter((uid) => !own.has(uid)).map(blockOf));
    const hasProcess = (block: number): boolean => strangers.has(block);
    const claims = new UidClaims(registryDir, { ownerId, stateDir }, { hasProcess, hasCgroup });
    const blocks = await withRegistry(registryDir, () =>
      claimBlocks(claims, used, (block) => !hasProcess(block)),
    );
    return new UidPool(options, claims, blocks, new Set([...used, ...alive]));
  }

  take(): number {
    const { first, count } = rangeOf(this.#blocks[0]);
    for (let tried = 0; tried < count; tried += 1) {
      // In turn, so that a user id rests as long as possible before it is another VM's.
      const uid = first + this.#next;
      this.#next = (this.#next + 1) % count;
      if (this.#used.has(uid)) continue;
      this.#used.add(uid);
      return uid;
    }
    throw exhausted(count);
  }

  /** Frees an id of which no process and no file is left. */
  free(uid: number): void {
    this.#used.delete(uid);
  }

  /** Gives the blocks back when no VM and no process is left that has one of their users. */
  async close(): Promise<void> {
    if ([...this.#used].some((uid) => this.#blocks.includes(blockOf(uid) ?? -1))) return;
    await withRegistry(this.#options.registryDir, async () => {
      for (const claim of await this.#claims.list()) {
        if (this.#claims.isNamed(claim)) await this.#claims.remove(claim);
      }
    });
  }
}

function exhausted(count: number): VmRuntimeError {
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `all ${count} user ids of this runtime are in use`, {
    details: { operation: 'choose a user id' },
    remedy: 'destroy VMs, or spread them over several state directories',
  });
}
