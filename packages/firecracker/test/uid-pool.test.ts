import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openOwnerId } from '@microvm/driver-kit';
import { lockDirectory, spawnProcess } from '@microvm/native';
import { describe, expect, it, onTestFinished } from 'vitest';
import { blockOf, rangeOf } from '../src/host/uid-block.js';
import { UidPool } from '../src/host/uid-pool.js';
import type { UidPoolOptions } from '../src/host/uid-pool.js';

const isRoot = process.geteuid?.() === 0;

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-uids-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function newOwner(registryDir: string): Promise<UidPoolOptions> {
  const stateDir = await makeFolder();
  const ownerId = await openOwnerId(stateDir);
  return { registryDir, stateDir, ownerId, hasCgroup: async () => false };
}

const claimsIn = async (registryDir: string): Promise<readonly string[]> =>
  (await readdir(join(registryDir, 'uid-blocks'))).sort();

/** Some user id of a block of its own, and the name of a claim of that block. */
function someUser(): { readonly uid: number; readonly block: number } {
  const block = Math.floor(Math.random() * 16_000);
  return { uid: rangeOf(block).first + 7, block };
}

async function startAs(uid: number): Promise<void> {
  const child = await spawnProcess({ file: 'sleep', args: ['1000'], uid, gid: uid });
  onTestFinished(async () => {
    child.ref().kill('SIGKILL');
    await child.exited;
  });
}

describe('user ids', () => {
  it('of runtimes that open at the same moment never meet', async () => {
    const registryDir = await makeFolder();
    const owners = await Promise.all(Array.from({ length: 8 }, () => newOwner(registryDir)));
    const pools = await Promise.all(owners.map((owner) => UidPool.open(owner, [])));
    expect(new Set(pools.map((pool) => blockOf(pool.take()))).size).toBe(8);
  });

  it('are those that the records name, whatever became of the registry', async () => {
    const registryDir = await makeFolder();
    const owner = await newOwner(registryDir);
    const { uid, block } = someUser();
    const pool = await UidPool.open(owner, [uid]);
    expect(blockOf(pool.take())).toBe(block);
    // A boot of the host clears the registry, not the records.
    await rm(join(registryDir, 'uid-blocks'), { recursive: true });
    expect(blockOf((await UidPool.open(owner, [uid])).take())).toBe(block);
    expect(await claimsIn(registryDir)).toEqual([`${block}.${owner.ownerId}`]);
  });

  it('of two blocks are both kept, when the records name both', async () => {
    const registryDir = await makeFolder();
    const owner = await newOwner(registryDir);
    await UidPool.open(owner, [rangeOf(3).first, rangeOf(5).first + 1]);
    expect(await claimsIn(registryDir)).toEqual([`3.${owner.ownerId}`, `5.${owner.ownerId}`]);
  });

  it.each([
    ['an empty claim', ''],
    ['a claim of a directory that is gone', '/nowhere/state'],
  ])('are taken over from %s', async (_title, text) => {
    const registryDir = await makeFolder();
    const owner = await newOwner(registryDir);
    const { uid, block } = someUser();
    await UidPool.open(await newOwner(registryDir), []);
    await writeFile(join(registryDir, 'uid-blocks', String(block)), text);
    expect(blockOf((await UidPool.open(owner, [uid])).take())).toBe(block);
    expect(await claimsIn(registryDir)).toContain(`${block}.${owner.ownerId}`);
    expect(await claimsIn(registryDir)).not.toContain(String(block));
  });

  it('of an owner that still has its directory are refused, and the remedy names the claim', async () => {
    const registryDir = await makeFolder();
    const [one, two] = [await newOwner(registryDir), await newOwner(registryDir)];
    const { uid, block } = someUser();
    await UidPool.open(one, [uid]);
    await expect(UidPool.open(two, [uid])).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
      message: expect.stringContaining(one.stateDir) as string,
      remedy: expect.stringContaining(`${block}.${one.ownerId}`) as string,
    });
    await rm(one.stateDir, { recursive: true });
    expect(blockOf((await UidPool.open(two, [uid])).take())).toBe(block);
  });

  it('of an owner with a cgroup are refused, also when its directory cannot be seen', async () => {
    const registryDir = await makeFolder();
    const [one, two] = [await newOwner(registryDir), await newOwner(registryDir)];
    const { uid } = someUser();
    await UidPool.open(one, [uid]);
    await rm(one.stateDir, { recursive: true });
    const hasCgroup = async (ownerId: string): Promise<boolean> => ownerId === one.ownerId;
    await expect(UidPool.open({ ...two, hasCgroup }, [uid])).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
    });
  });

  it.runIf(isRoot)('are never given out while a process runs as one of them', async () => {
    const registryDir = await makeFolder();
    const owner = await newOwner(registryDir);
    const { uid, block } = someUser();
    const other = rangeOf(block).first + 1;
    await startAs(other);
    const pool = await UidPool.open(owner, [uid]);
    const taken = Array.from({ length: 16 }, () => pool.take());
    expect(taken).not.toContain(other);
    expect(taken).toContain(other + 1);
    for (const given of [uid, ...taken]) pool.free(given);
    await pool.close();
    // The process keeps the block from being another's.
    expect(await claimsIn(registryDir)).toEqual([`${block}.${owner.ownerId}`]);
  });

  it('are one per VM, used again only after a rest, and given back when none is in use', async () => {
    const registryDir = await makeFolder();
    const owner = await newOwner(registryDir);
    const pool = await UidPool.open(owner, []);
    const [first, second] = [pool.take(), pool.take()];
    expect(second).not.toBe(first);
    pool.free(first);
    expect(pool.take()).not.toBe(first);
    await pool.close();
    expect(await claimsIn(registryDir)).toHaveLength(1);
    const again = await UidPool.open(owner, [second]);
    expect(Array.from({ length: 100 }, () => again.take())).not.toContain(second);
    const other = await UidPool.open(await newOwner(registryDir), []);
    other.free(other.take());
    await other.close();
    expect(await claimsIn(registryDir)).toHaveLength(1);
  });

  it('are claimed one runtime at a time: the next waits until the registry is let go', async () => {
    const registryDir = await makeFolder();
    const lock = await lockDirectory(registryDir);
    const opened = UidPool.open(await newOwner(registryDir), []);
    expect(await Promise.race([opened.then(() => 'open'), newOwner(registryDir).then(() => 'waits')])).toBe(
      'waits',
    );
    lock.release();
    expect(blockOf((await opened).take())).toBeDefined();
  });

  it('of a runtime that was killed before it had a VM are its own when it opens again', async () => {
    const registryDir = await makeFolder();
    const owner = await newOwner(registryDir);
    const first = blockOf((await UidPool.open(owner, [])).take());
    expect(blockOf((await UidPool.open(owner, [])).take())).toBe(first);
    // Also when the directory has another id than before.
    const renamed = { ...owner, ownerId: randomBytes(16).toString('hex') };
    expect(blockOf((await UidPool.open(renamed, [])).take())).toBe(first);
    expect(await claimsIn(registryDir)).toEqual([`${first}.${renamed.ownerId}`]);
  });
});
