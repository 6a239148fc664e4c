import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { claimUidBlock } from '../src/host/uid-block.js';
import { UidPool } from '../src/host/uid-pool.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-uids-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe('user ids', () => {
  it('of two runtimes never meet, and one runtime keeps its own', async () => {
    const registryDir = await makeFolder();
    const [one, two] = [await makeFolder(), await makeFolder()];
    const ranges = await Promise.all(
      [one, two].map((stateDir) => claimUidBlock({ stateDir, registryDir }, true)),
    );
    expect(ranges[0]?.first).not.toBe(ranges[1]?.first);
    expect(Math.abs((ranges[0]?.first ?? 0) - (ranges[1]?.first ?? 0))).toBeGreaterThanOrEqual(
      ranges[0]?.count ?? 0,
    );
    expect(await claimUidBlock({ stateDir: one, registryDir }, true)).toEqual(ranges[0]);
    // A boot of the host clears the registry, not the state.
    await rm(join(registryDir, 'uid-blocks'), { recursive: true });
    expect(await claimUidBlock({ stateDir: one, registryDir }, true)).toEqual(ranges[0]);
  });

  it('that another runtime has taken meanwhile are refused', async () => {
    const registryDir = await makeFolder();
    const [one, two] = [await makeFolder(), await makeFolder()];
    await claimUidBlock({ stateDir: one, registryDir }, true);
    const [block = ''] = await readdir(join(registryDir, 'uid-blocks'));
    await writeFile(join(two, 'uid-block'), `${block}\n`);
    await expect(claimUidBlock({ stateDir: two, registryDir }, true)).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
    });
    // Without a VM of its users a directory takes others.
    const other = await claimUidBlock({ stateDir: two, registryDir }, false);
    expect(other).not.toEqual(await claimUidBlock({ stateDir: one, registryDir }, true));
    await writeFile(join(two, 'uid-block'), 'x');
    await expect(claimUidBlock({ stateDir: two, registryDir }, true)).rejects.toMatchObject({
      code: 'MICROVM_STATE_CORRUPT',
    });
  });

  it('are one per VM, used again only after a rest, and given back when none is in use', async () => {
    const registryDir = await makeFolder();
    const stateDir = await makeFolder();
    const pool = await UidPool.open({ stateDir, registryDir }, []);
    const [first, second] = [pool.take(), pool.take()];
    expect(second).not.toBe(first);
    pool.free(first);
    expect(pool.take()).not.toBe(first);
    await pool.close();
    expect(await readdir(join(registryDir, 'uid-blocks'))).toHaveLength(1);
    const again = await UidPool.open({ stateDir, registryDir }, [second]);
    expect(Array.from({ length: 100 }, () => again.take())).not.toContain(second);
    const other = await UidPool.open({ stateDir: await makeFolder(), registryDir }, []);
    other.free(other.take());
    await other.close();
    expect(await readdir(join(registryDir, 'uid-blocks'))).toHaveLength(1);
  });
});
