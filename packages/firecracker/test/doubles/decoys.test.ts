import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { watchProcess, type ProcessIdentity } from '@microvm/native';
import type { VmRuntime, VmView } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startDecoy } from '../decoy.js';
import { openDoubles } from './doubles.js';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;
const run = promisify(execFile);

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-decoys-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function running(runtime: VmRuntime, jail: boolean): Promise<VmView> {
  await runtime.createVmWithSpec('a', { jail });
  return runtime.startVm('a');
}

async function kill(identity: ProcessIdentity | undefined): Promise<void> {
  if (identity === undefined) throw new Error('the VM has no process');
  const process = watchProcess(identity);
  process.kill('SIGKILL');
  await process.exited;
}

describe.runIf(isRoot)('a stranger’s process with the arguments of a VMM', () => {
  it.each([true, false])(
    'is not taken for the VMM that lives, and not killed with it; jail: %s',
    async (jail) => {
      const stateDir = await makeFolder();
      const decoy = startDecoy();
      const first = await openDoubles({ stateDir });
      const { instanceId, vmm } = await running(first, jail);
      await first.close();
      expect(decoy.child.pid).toBeLessThan(vmm?.pid ?? 0);
      await decoy.become(instanceId);
      const second = await openDoubles({ stateDir });
      expect(second.recovery.adopted).toMatchObject([{ vmId: 'a', state: 'running' }]);
      expect(await second.pauseVm('a')).toMatchObject({ state: 'paused', vmm });
      await second.stopVm('a').catch(() => undefined);
      await second.destroyVm('a');
      decoy.expectAlive();
    },
  );

  it.each([true, false])('does not stand in for a VMM that died; jail: %s', async (jail) => {
    const stateDir = await makeFolder();
    const decoy = startDecoy();
    const first = await openDoubles({ stateDir });
    const { instanceId, vmm } = await running(first, jail);
    await first.close();
    await kill(vmm);
    await decoy.become(instanceId);
    const second = await openDoubles({ stateDir });
    expect(second.recovery.ended).toMatchObject([{ vmId: 'a', state: 'crashed' }]);
    expect(await second.startVm('a')).toMatchObject({ state: 'running' });
    await second.destroyVm('a');
    decoy.expectAlive();
  });

  it('is not swept as the rest of a VM that stands still', async () => {
    const stateDir = await makeFolder();
    const decoy = startDecoy();
    const first = await openDoubles({ stateDir });
    const { instanceId } = await running(first, true);
    await first.stopVm('a');
    await first.close();
    await decoy.become(instanceId);
    const second = await openDoubles({ stateDir });
    expect(second.recovery.swept).toEqual([]);
    await second.destroyVm('a');
    decoy.expectAlive();
  });
});

describe.runIf(isRoot)('a process whose command line does not answer', () => {
  it.each([
    ['a stranger', NOBODY],
    ['the runtime’s own user', 0],
  ])('keeps nobody from opening: of %s', async (_title, uid) => {
    const [stateDir, folder] = [await makeFolder(), await makeFolder()];
    const first = await openDoubles({ stateDir });
    await running(first, true);
    await first.close();
    const stuck = spawn('sleep', ['1000'], { uid, gid: uid, stdio: 'ignore', cwd: '/' });
    onTestFinished(() => void stuck.kill('SIGKILL'));
    await once(stuck, 'spawn');
    // Whoever opens a FIFO to read it waits for a writer, for ever.
    const script = 'mkfifo "$1" && mount --bind "$1" "/proc/$2/cmdline" && shift 2 && exec "$@"';
    const child = fileURLToPath(new URL('adopting-owner.ts', import.meta.url));
    const { stdout } = await run('unshare', [
      ...['--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', join(folder, 'fifo')],
      ...[
        String(stuck.pid),
        process.execPath,
        '--conditions=@microvm/source',
        '--import',
        'tsx',
        child,
        stateDir,
      ],
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ adopted: [{ vmId: 'a', state: 'running' }], ended: [] });
    const last = await openDoubles({ stateDir });
    expect(await last.pauseVm('a')).toMatchObject({ state: 'paused' });
  });
});

describe('what a runtime finds of its VMs', () => {
  it.each([true, false])(
    'includes the VMM of a VM that its record says stands still; jail: %s',
    async (jail) => {
      const stateDir = await makeFolder();
      const first = await openDoubles({ stateDir });
      const { instanceId, vmm } = await running(first, jail);
      await first.close();
      // As after a crash in the middle of a stop, or when somebody put an older record back.
      await rewriteRecord(join(stateDir, 'vms', instanceId, 'vm.json'));
      const second = await openDoubles({ stateDir });
      expect(second.recovery.swept).toEqual([`VMM of ${instanceId}`]);
      const process = watchProcess(vmm as ProcessIdentity);
      await process.exited;
      await second.destroyVm('a');
    },
  );
});

async function rewriteRecord(path: string): Promise<void> {
  const { vmm: _vmm, ...record } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...record, state: 'stopped' }));
}
