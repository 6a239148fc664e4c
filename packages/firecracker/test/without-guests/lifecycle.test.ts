import { statSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOwnerId } from '@microvm/driver-kit';
import { createNetns, createTap, deleteNetns, watchProcess } from '@microvm/native';
import type { ProcessIdentity, VmRuntime, VmSpec, VmView } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startDecoy } from '../decoy.js';
import { takeLedger } from '../ledger.js';
import { openReal, titled, whyNot } from './real-binary.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-native-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function vmmOf({ vmId, vmm }: VmView): ProcessIdentity {
  if (vmm === undefined) throw new Error(`"${vmId}" has no VMM`);
  return vmm;
}

const pidOf = (view: VmView): number => vmmOf(view).pid;
const rootOf = (view: VmView, ...names: readonly string[]): string =>
  join(`/proc/${pidOf(view)}/root`, ...names);

async function running(runtime: VmRuntime, vmId: string, spec: VmSpec = {}): Promise<VmView> {
  await runtime.createVmWithSpec(vmId, spec);
  return runtime.startVm(vmId);
}

describe.skipIf(whyNot !== undefined)(titled('a jailed VM'), () => {
  it('goes through every verb and leaves nothing', async () => {
    const stateDir = join(await makeFolder(), 'state');
    const before = await takeLedger({ stateDir, scope: 'state' });
    const runtime = await openReal({ stateDir });
    expect(await runtime.createVm('a')).toMatchObject({ state: 'created' });
    expect(await runtime.startVm('a')).toMatchObject({ state: 'running' });
    expect(await runtime.pauseVm('a')).toMatchObject({ state: 'paused' });
    expect(await runtime.resumeVm('a')).toMatchObject({ state: 'running' });
    const { snapshotUid } = await runtime.snapshotVm('a', 's');
    const restoreFrom = { snapshotUid };
    const clones = await Promise.all(
      ['b', 'c', 'd'].map((vmId) => runtime.createVmWithSpec(vmId, { restoreFrom })),
    );
    expect(new Set(clones.map(pidOf)).size).toBe(3);
    expect(await runtime.createVmWithSpec('e', { restoreFrom, resumeImmediately: false })).toMatchObject({
      state: 'paused',
    });
    expect(await runtime.renameVm('b', 'tenant')).toMatchObject({ state: 'running' });
    expect(await runtime.stopVm('a')).toMatchObject({ state: 'stopped', stop: 'forced' });
    expect(await runtime.startVm('a')).toMatchObject({ state: 'running' });
    expect(await runtime.verifySnapshot(restoreFrom)).toMatchObject({ kind: 'memory' });
    for (const { vmId } of await runtime.listVms()) await runtime.destroyVm(vmId);
    await runtime.deleteSnapshot(restoreFrom);
    await runtime.close();
    const ownerId = await readOwnerId(stateDir);
    expect(ownerId).toBeDefined();
    await rm(stateDir, { recursive: true });
    expect(await takeLedger({ stateDir, scope: 'state', ownerId })).toEqual(before);
  });

  it.each([true, false])(
    'that was restored can be captured too, and its source stays as it was; jail: %s',
    async (jail) => {
      const runtime = await openReal({ defaults: { jail } });
      await running(runtime, 'a');
      const first = await runtime.snapshotVm('a', 's');
      await runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid: first.snapshotUid } });
      const second = await runtime.snapshotVm('b', 's');
      await runtime.createVmWithSpec('c', { restoreFrom: { snapshotUid: second.snapshotUid } });
      for (const { snapshotUid } of [first, second]) await runtime.verifySnapshot({ snapshotUid });
    },
  );

  it('has a user, a root and a cgroup of its own, and sees no file that another could write', async () => {
    const runtime = await openReal();
    const [one, two] = [await running(runtime, 'one'), await running(runtime, 'two')];
    const uids = [one, two].map((view) => statSync(`/proc/${pidOf(view)}`).uid);
    expect(new Set([...uids, 0]).size).toBe(3);
    expect(await stat(rootOf(one, 'kernel'))).toMatchObject({ uid: 0, mode: 0o100444 });
    expect((await stat(rootOf(one, 'kernel'))).ino).toBe((await stat(rootOf(two, 'kernel'))).ino);
    expect(await stat(rootOf(one, 'disks/root'))).toMatchObject({ uid: uids[0] });
    expect((await stat(rootOf(one, 'disks/root'))).ino).not.toBe((await stat(rootOf(two, 'disks/root'))).ino);
    const cgroup = await readFile(`/proc/${pidOf(one)}/cgroup`, 'utf8');
    expect(cgroup).toContain(one.instanceId);
  });

  it('leaves the caller’s own files as they were', async () => {
    const folder = await makeFolder();
    const disk = join(folder, 'disk.img');
    await writeFile(disk, Buffer.alloc(1024 * 1024, 'd'), { mode: 0o640 });
    const before = await stat(disk);
    const runtime = await openReal();
    await running(runtime, 'a', { drives: [{ driveId: 'shared', path: disk, mode: 'shared' }] });
    const view = await runtime.getVm('a');
    expect(await readFile(rootOf(view as VmView, 'disks/shared'), 'utf8')).toContain('ddd');
    await runtime.destroyVm('a');
    expect(await stat(disk)).toMatchObject({ uid: before.uid, mode: before.mode, mtimeMs: before.mtimeMs });
  });

  it('joins the caller’s TAPs in a namespace of theirs, and its clones others of the same name', async () => {
    const folder = await makeFolder();
    const namespaces = await Promise.all(
      ['n0', 'n1', 'n2'].map(async (name) => {
        const netns = join(folder, name);
        await createNetns(netns);
        onTestFinished(async () => void (await deleteNetns(netns)));
        await createTap({ name: 'tap0', netns });
        return netns;
      }),
    );
    const runtime = await openReal();
    const nic = { ifaceId: 'eth0', hostDevName: 'tap0', guestMac: '02:00:00:00:00:01' };
    const networkInterfaces = [{ ...nic, netnsPath: namespaces[0] ?? '' }];
    await running(runtime, 'a', { networkInterfaces });
    const { snapshotUid } = await runtime.snapshotVm('a', 's');
    // Its TAP is in use, so without another namespace a clone cannot have it.
    await expect(runtime.createVmWithSpec('busy', { restoreFrom: { snapshotUid } })).rejects.toMatchObject({
      code: 'MICROVM_VMM_REJECTED',
    });
    expect(await runtime.getVm('busy')).toBeUndefined();
    for (const [index, netnsPath] of namespaces.slice(1).entries()) {
      const networkOverrides = [{ ifaceId: 'eth0', netnsPath }];
      const restored = await runtime.createVmWithSpec(`clone-${index}`, {
        restoreFrom: { snapshotUid },
        networkOverrides,
      });
      expect(restored).toMatchObject({
        state: 'running',
        spec: { networkInterfaces: [{ ...nic, netnsPath }] },
      });
    }
    // What the restore chose is what a cold boot later finds.
    await runtime.stopVm('clone-0');
    expect(await runtime.startVm('clone-0')).toMatchObject({ state: 'running' });
  });

  it('with a TAP that is not there fails with Firecracker’s own words, and leaves nothing', async () => {
    const runtime = await openReal();
    const networkInterfaces = [{ ifaceId: 'eth0', hostDevName: 'nope0' }];
    // An unprivileged user may not make it: the release that we run on says so at once, others at the start.
    await expect(running(runtime, 'a', { networkInterfaces })).rejects.toMatchObject({
      code: 'MICROVM_VMM_REJECTED',
      details: { status: 400, faultMessage: expect.stringContaining('tap device') as string },
    });
    expect((await runtime.getVm('a'))?.state).not.toBe('running');
  });

  it('that is killed is crashed at once, and starts again on its disks', async () => {
    const runtime = await openReal();
    const view = await running(runtime, 'a');
    const seen = (async () => {
      for await (const event of runtime.events()) if (event.type === 'vm-state') return event;
      return undefined;
    })();
    watchProcess(vmmOf(view)).kill('SIGKILL');
    expect(await seen).toMatchObject({
      from: 'running',
      to: 'crashed',
      ending: { reason: 'vmm-exit', exitCode: null, signal: 'SIGKILL' },
    });
    expect(await runtime.startVm('a')).toMatchObject({ state: 'running' });
  });

  it('lives on without its owner and is taken over; its end is seen then too', async () => {
    const stateDir = await makeFolder();
    const first = await openReal({ stateDir });
    const vmm = vmmOf(await running(first, 'a'));
    await first.close();
    const second = await openReal({ stateDir });
    expect(second.recovery.adopted).toMatchObject([{ vmId: 'a', state: 'running' }]);
    expect(await second.pauseVm('a')).toMatchObject({ state: 'paused', vmm });
    const seen = (async () => {
      for await (const event of second.events()) {
        if (event.type === 'vm-state' && event.to === 'crashed') return event;
      }
      return undefined;
    })();
    watchProcess(vmm).kill('SIGKILL');
    // It is no child of its new owner: before Linux 6.15 the kernel tells nobody else how it ended.
    const { ending } = (await seen) ?? {};
    expect(ending?.reason).toBe('vmm-exit');
    expect([null, 'unknown']).toContain(ending?.exitCode);
  });

  it('is told from a stranger’s process that has its arguments, also when it stands still', async () => {
    const stateDir = await makeFolder();
    const decoy = startDecoy();
    const first = await openReal({ stateDir });
    const { instanceId, vmm } = await running(first, 'a');
    await first.close();
    await decoy.become(instanceId);
    const second = await openReal({ stateDir });
    expect(second.recovery.adopted).toMatchObject([{ vmId: 'a', state: 'running' }]);
    expect(await second.stopVm('a')).toMatchObject({ state: 'stopped' });
    expect(() => statSync(`/proc/${vmm?.pid ?? 0}/cwd`)).toThrow('ENOENT');
    await second.close();
    const third = await openReal({ stateDir });
    expect(third.recovery.swept).toEqual([]);
    decoy.expectAlive();
  });
});
