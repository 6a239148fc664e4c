import { randomInt } from 'node:crypto';
import { VmRuntimeError } from '@microvm/runtime';
import { readClaim, type Claim, type UidClaims } from './uid-claims.js';

// No user of a systemd host has one of these (in its table of user ids 1879048192–2147352575 is free).
const FIRST_UID = 0x7000_0000;
const BLOCK_SIZE = 16_384;
const BLOCK_COUNT = 16_367;

/** User ids that follow each other. */
export interface UidRange {
  readonly first: number;
  readonly count: number;
}

export function rangeOf(block: number): UidRange {
  return { first: FIRST_UID + block * BLOCK_SIZE, count: BLOCK_SIZE };
}

/** The block of a user id; undefined for an id that no runtime hands out. */
export function blockOf(uid: number): number | undefined {
  const block = Math.floor((uid - FIRST_UID) / BLOCK_SIZE);
  return block >= 0 && block < BLOCK_COUNT ? block : undefined;
}

/**
 * Claims the blocks that `used` user ids are in, and at least one block. Answers with the numbers of the
 * blocks; new VMs get their users from the first. Which blocks an owner has follows from its VMs: nothing has
 * to be remembered but their records. Errors: HOST_FAILURE when another owner has one of the blocks.
 */
export async function claimBlocks(
  claims: UidClaims,
  used: readonly number[],
  isFree: (block: number) => boolean,
): Promise<readonly [number, ...number[]]> {
  const all = await claims.list();
  const needed = new Set(used.map(blockOf).filter((block) => block !== undefined));
  for (const block of needed) await takeBlock(claims, all, block);
  const [first, ...others] = needed;
  if (first !== undefined) return [first, ...others];
  // A claim of a killed run of this owner is used again. A second such claim is given back.
  const own: Claim[] = [];
  for (const claim of all) if (await claims.isOwn(claim)) own.push(claim);
  for (const spare of own.slice(1)) await claims.remove(spare);
  const block = own[0]?.block ?? (await chooseBlock(claims, all, isFree));
  await takeBlock(claims, all, block);
  return [block];
}

/** Makes the claim of a block the owner's, unless another owner that still exists has one. */
async function takeBlock(claims: UidClaims, all: readonly Claim[], block: number): Promise<void> {
  const present = all.filter((claim) => claim.block === block);
  for (const claim of present) {
    if (!(await claims.isOwn(claim)) && (await claims.isAlive(claim))) throw await taken(claim);
  }
  await claims.make(block);
  for (const claim of present) if (!claims.isNamed(claim)) await claims.remove(claim);
}

async function chooseBlock(
  claims: UidClaims,
  all: readonly Claim[],
  isFree: (block: number) => boolean,
): Promise<number> {
  const claimed = new Set(all.map(({ block }) => block));
  const free = Array.from({ length: BLOCK_COUNT }, (_, block) => block).filter(
    (block) => !claimed.has(block) && isFree(block),
  );
  const chosen = free.length === 0 ? undefined : free[randomInt(free.length)];
  if (chosen !== undefined) return chosen;
  for (const claim of all) if (!(await claims.isAlive(claim))) return claim.block;
  throw new VmRuntimeError('MICROVM_HOST_FAILURE', 'claim user ids: every block has an owner', {
    details: { operation: 'claim user ids' },
    remedy: 'close runtimes that have no VMs',
  });
}

async function taken(claim: Claim): Promise<VmRuntimeError> {
  const { stateDir } = await readClaim(claim);
  const operation = 'claim user ids';
  return new VmRuntimeError(
    'MICROVM_HOST_FAILURE',
    `${operation}: block ${claim.block}, which VMs of this state directory have users of, is claimed for "${stateDir}"`,
    {
      details: { operation },
      remedy: `destroy the VMs of "${stateDir}" or of this copy; if that directory is gone for good, remove "${claim.path}"`,
    },
  );
}
