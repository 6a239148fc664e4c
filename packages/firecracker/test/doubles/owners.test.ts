import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { VmRuntime, VmView } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { openDoubles } from './doubles.js';
import { DOUBLES } from './doubles-only.js';

const run = promisify(execFile);

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-owners-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function running(runtime: VmRuntime, vmId: string): Promise<VmView> {
  await runtime.createVm(vmId);
  return runtime.startVm(vmId);
}

const pidOf = ({ vmm }: VmView): number => vmm?.pid ?? 0;

/**
 * Opens a runtime in a mount namespace in which the folder `instead` is at the path of the folder `stateDir`.
 */
async function openElsewhere(
  stateDir: string,
  instead: string,
  registryDir: string,
): Promise<{ readonly uid: number; readonly adopted: readonly unknown[] }> {
  const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
  const child = fileURLToPath(new URL('other-owner.ts', import.meta.url));
  const node = [process.execPath, '--conditions=@microvm/source', '--import', 'tsx', child];
  const { stdout } = await run('unshare', [
    ...['--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', instead],
    ...[stateDir, ...node, stateDir, registryDir],
  ]);
  return JSON.parse(stdout) as { readonly uid: number; readonly adopted: readonly unknown[] };
}

describe('the owner of a state directory', () => {
  it('is not taken for another one with the same path in another mount namespace', async () => {
    const [stateDir, instead, registryDir] = [await makeFolder(), await makeFolder(), await makeFolder()];
    const runtime = await openDoubles({ stateDir, registryDir });
    const view = await running(runtime, 'a');
    const other = await openElsewhere(stateDir, instead, registryDir);
    expect(other.adopted).toEqual([]);
    expect(other.uid).not.toBe(statSync(`/proc/${pidOf(view)}`).uid);
    expect(await runtime.getVm('a')).toMatchObject({ state: 'running' });
    expect(await runtime.pauseVm('a')).toMatchObject({ state: 'paused', vmm: view.vmm });
  });

  it.each([
    ['a trailing slash', async (path: string) => `${path}/`],
    ['a dot at its end', async (path: string) => `${path}/.`],
    [
      'a symbolic link',
      async (path: string) => {
        await symlink(path, `${path}-link`);
        onTestFinished(() => rm(`${path}-link`, { force: true }));
        return `${path}-link`;
      },
    ],
  ])('is the same by %s', async (_title, otherPathOf) => {
    const [stateDir, registryDir] = [await makeFolder(), await makeFolder()];
    const first = await openDoubles({ stateDir, registryDir });
    const { vmm } = await running(first, 'a');
    await first.close();
    const defaults = await imageDefaults();
    const options = { ...DOUBLES, stateDir: await otherPathOf(stateDir), registryDir, defaults };
    await using second = await createFirecrackerRuntime(options);
    expect(second.recovery.adopted).toMatchObject([{ vmId: 'a', state: 'running' }]);
    expect(await second.pauseVm('a')).toMatchObject({ state: 'paused', vmm });
    await second.destroyVm('a');
  });

  it('of a copied directory has nothing to do with what the original runs', async () => {
    const [stateDir, registryDir, folder] = [await makeFolder(), await makeFolder(), await makeFolder()];
    const runtime = await openDoubles({ stateDir, registryDir });
    const view = await running(runtime, 'a');
    const copy = join(folder, 'copy');
    await mkdir(copy, { mode: 0o700 });
    await run('cp', ['-a', `${stateDir}/.`, copy]);
    // The users of the original's VMs are the original's.
    await expect(openDoubles({ stateDir: copy, registryDir })).rejects.toMatchObject({
      code: 'MICROVM_HOST_FAILURE',
      message: expect.stringContaining(stateDir) as string,
    });
    expect(await runtime.pauseVm('a')).toMatchObject({ state: 'paused', vmm: view.vmm });
    // Once the original is gone they are the copy's: it was a move, or a restored backup.
    await runtime.destroyVm('a');
    await runtime.close();
    await rm(stateDir, { recursive: true });
    const moved = await openDoubles({ stateDir: copy, registryDir });
    expect(moved.recovery.ended).toMatchObject([{ vmId: 'a', state: 'crashed' }]);
    expect(await moved.startVm('a')).toMatchObject({ state: 'running' });
    await moved.destroyVm('a');
  });

  it('has one id for good, which names its cgroups', async () => {
    const stateDir = await makeFolder();
    const ids: string[] = [];
    for (const vmId of ['a', 'b']) {
      const runtime = await openDoubles({ stateDir });
      const view = await running(runtime, vmId);
      const { ownerId } = JSON.parse(await readFile(join(stateDir, 'owner-id'), 'utf8')) as {
        readonly ownerId: string;
      };
      expect(ownerId).toMatch(/^[0-9a-f]{32}$/);
      expect(await readFile(`/proc/${pidOf(view)}/cgroup`, 'utf8')).toContain(
        `/microvm/${ownerId}/${view.instanceId}`,
      );
      ids.push(ownerId);
      await runtime.close();
    }
    expect(new Set(ids).size).toBe(1);
    await (await openDoubles({ stateDir })).destroyVm('a');
  });

  it('whose id cannot be read is told so, and how to go on', async () => {
    const stateDir = await makeFolder();
    const first = await openDoubles({ stateDir });
    await running(first, 'a');
    await first.close();
    const path = join(stateDir, 'owner-id');
    await cp('/dev/null', path, { force: true });
    await expect(openDoubles({ stateDir })).rejects.toMatchObject({
      code: 'MICROVM_STATE_CORRUPT',
      details: { path },
      remedy: expect.stringContaining(path) as string,
    });
    await rm(path);
    const again = await openDoubles({ stateDir });
    expect(again.recovery.adopted).toMatchObject([{ vmId: 'a', state: 'running' }]);
    await again.destroyVm('a');
  });
});
