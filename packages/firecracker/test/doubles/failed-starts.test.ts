import { readdir, readlink, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetns, createTap, deleteNetns } from '@microvm/native';
import type { VmRuntime, VmSpec } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDoubles } from './doubles.js';

const TIMES = 10;
const GIB = 1024 ** 3;

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-starts-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The sockets that this process has open. */
async function countSockets(): Promise<number> {
  const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
  return (await Promise.all(links)).filter((link) => link.startsWith('socket:')).length;
}

const inNamespace = (netnsPath: string): VmSpec => ({
  networkInterfaces: [{ ifaceId: 'eth0', hostDevName: 'tap0', netnsPath }],
});

async function stopped(runtime: VmRuntime, spec: VmSpec): Promise<void> {
  await runtime.createVmWithSpec('a', spec);
  await runtime.startVm('a');
  await runtime.stopVm('a');
}

describe('a start that fails', () => {
  it.each([true, false])(
    'for a namespace that was never there is refused by its name; jail: %s',
    async (jail) => {
      const runtime = await openDoubles({ defaults: { jail } });
      const missing = join(await makeFolder(), 'nowhere');
      const before = await countSockets();
      for (let time = 0; time < TIMES; time += 1) {
        await expect(runtime.createVmWithSpec(`a${time}`, inNamespace(missing))).rejects.toMatchObject({
          code: 'MICROVM_INVALID_ARGUMENT',
          details: { path: 'spec.networkInterfaces[0].netnsPath' },
          message: expect.stringContaining(missing) as string,
        });
      }
      expect(await countSockets()).toBe(before);
      expect(await runtime.listVms()).toEqual([]);
    },
  );

  it.each([true, false])('for a namespace that has gone meanwhile names it; jail: %s', async (jail) => {
    const runtime = await openDoubles({ defaults: { jail } });
    const netns = join(await makeFolder(), 'n');
    await createNetns(netns);
    onTestFinished(async () => void (await deleteNetns(netns)));
    await createTap({ name: 'tap0', netns });
    await stopped(runtime, inNamespace(netns));
    await deleteNetns(netns);
    const before = await countSockets();
    for (let time = 0; time < TIMES; time += 1) {
      await expect(runtime.startVm('a')).rejects.toMatchObject({
        code: 'MICROVM_HOST_FAILURE',
        message: expect.stringContaining(netns) as string,
      });
    }
    expect(await countSockets()).toBe(before);
    await createNetns(netns);
    await createTap({ name: 'tap0', netns });
    expect(await runtime.startVm('a')).toMatchObject({ state: 'running' });
  });

  it('for its program leaves no socket open', async () => {
    const stateDir = await makeFolder();
    const runtime = await openDoubles({ stateDir, defaults: { jail: false } });
    await stopped(runtime, {});
    await rm(join(stateDir, 'bin', 'firecracker'));
    const before = await countSockets();
    for (let time = 0; time < TIMES; time += 1) {
      await expect(runtime.startVm('a')).rejects.toMatchObject({ code: 'MICROVM_HOST_UNSUPPORTED' });
    }
    expect(await countSockets()).toBe(before);
  });
});

describe('the files of a VMM', () => {
  it.each([true, false])(
    'have a greatest size, which a dump of its memory fits in; jail: %s',
    async (jail) => {
      const runtime = await openDoubles({ defaults: { jail } });
      await runtime.createVm('a');
      const { vmm, spec } = await runtime.startVm('a');
      const limits = await readFile(`/proc/${vmm?.pid ?? 0}/limits`, 'utf8');
      const bytes = Number(/^Max file size +(\d+) +\1 /m.exec(limits)?.[1]);
      expect(bytes).toBeGreaterThanOrEqual(64 * GIB + spec.memSizeMib * 1024 ** 2);
      expect(bytes).toBeLessThan(100 * GIB);
      expect(await runtime.snapshotVm('a', 's')).toMatchObject({ kind: 'memory' });
    },
  );
});
