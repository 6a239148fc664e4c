import { randomInt } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '@microvm/driver-kit';
import { VmRuntimeError } from '@microvm/runtime';

// Used by nobody else on a systemd host (its table of user ids: 1879048192–2147352575 is free).
const FIRST_UID = 0x7000_0000;
const BLOCK_SIZE = 16_384;
const BLOCK_COUNT = 16_367;
const MOST_ATTEMPTS = 64;

/** Users that VMMs of one runtime run as. */
export interface UidRange {
  readonly first: number;
  readonly count: number;
}

export interface UidBlockOptions {
  /** It keeps the number of its block, in `uid-block`. */
  readonly stateDir: string;
  /** Where runtimes of this host say which blocks are theirs; gone with the next boot. */
  readonly registryDir: string;
}

/**
 * Claims a block of user ids for a state directory, against every other runtime of the host. Two never get the same: a claim is a
 * file that only one can make. A directory keeps its block as long as files in it belong to those users (`isInUse`).
 */
export async function claimUidBlock(
  { stateDir, registryDir }: UidBlockOptions,
  isInUse: boolean,
): Promise<UidRange> {
  const claims = join(registryDir, 'uid-blocks');
  await mkdir(claims, { recursive: true, mode: 0o755 });
  const recorded = await readBlock(join(stateDir, 'uid-block'));
  if (recorded !== undefined) {
    if (await claim(claims, recorded, stateDir)) return rangeOf(recorded);
    if (isInUse) throw taken(recorded, stateDir);
  }
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
    const block = randomInt(BLOCK_COUNT);
    if (!(await claim(claims, block, stateDir))) continue;
    await writeFile(join(stateDir, 'uid-block'), `${block}\n`, { mode: 0o600 });
    return rangeOf(block);
  }
  throw new VmRuntimeError('MICROVM_HOST_FAILURE', `claim user ids: no free block in ${claims}`, {
    details: { operation: 'claim user ids' },
    remedy: `remove the files in ${claims} whose state directories are gone`,
  });
}

async function readBlock(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const block = Number(text);
  if (Number.isInteger(block) && block >= 0 && block < BLOCK_COUNT) return block;
  throw new VmRuntimeError('MICROVM_STATE_CORRUPT', `"${path}" names no block of user ids`, {
    details: { path, problem: `"${text.trim()}" is not a number below ${BLOCK_COUNT}` },
  });
}

async function claim(claims: string, block: number, stateDir: string): Promise<boolean> {
  const path = join(claims, String(block));
  try {
    await writeFile(path, stateDir, { flag: 'wx', mode: 0o644 });
    return true;
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    return (await readFile(path, 'utf8')) === stateDir;
  }
}

/** Lets a block go whose users own nothing any more; the state directory asks for it again as long as nobody else has it. */
export async function releaseUidBlock({ registryDir }: UidBlockOptions, { first }: UidRange): Promise<void> {
  await rm(join(registryDir, 'uid-blocks', String((first - FIRST_UID) / BLOCK_SIZE)), { force: true });
}

function rangeOf(block: number): UidRange {
  return { first: FIRST_UID + block * BLOCK_SIZE, count: BLOCK_SIZE };
}

function taken(block: number, stateDir: string): VmRuntimeError {
  const operation = `claim user ids for "${stateDir}"`;
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `${operation}: block ${block} is another runtime's`, {
    details: { operation },
    remedy: 'close the other runtime first, or destroy its VMs',
  });
}
