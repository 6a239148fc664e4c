import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { destroyAll } from '@microvm/conformance';
import { endGuest, outputOf, readCounter } from '@microvm/conformance/linux-guest';
import type { VmRuntime } from '@microvm/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openIn } from './open-runtime.js';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;

type Owned = Record<string, { readonly instanceId: string; readonly pid: number }>;

/** Lets another process own a state directory with VMs in it, and kills it. */
async function ownAndDie(stateDir: string): Promise<Owned> {
  const path = fileURLToPath(new URL('./owner-process.ts', import.meta.url));
  const child = fork(path, { execArgv: ['--conditions=@microvm/source', '--import', 'tsx'] });
  const exited = once(child, 'exit');
  try {
    child.send(stateDir);
    const early = exited.then(() => Promise.reject(new Error('the owner ended by itself')));
    const [owned] = (await Promise.race([once(child, 'message'), early])) as [Owned];
    return owned;
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

/**
 * A stranger's process that is there before any VM. Told an instance, it becomes a program with the arguments
 * of that VM's QEMU.
 */
function startDecoy(): ChildProcess {
  const script = 'read id && exec sh -c "read rest" qemu -name "microvm-$id"';
  return spawn('sh', ['-c', script], {
    uid: NOBODY,
    gid: NOBODY,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
}

describe('after the death of its owner', () => {
  let stateDir: string;
  let owned: Owned;
  let runtime: VmRuntime | undefined;
  let decoy: ChildProcess | undefined;

  const opened = (): VmRuntime => {
    if (runtime === undefined) throw new Error('no runtime was opened');
    return runtime;
  };
  const folderOf = (vmId: string): string => join(stateDir, 'vms', owned[vmId]?.instanceId ?? '');
  // `expect.poll` works inside of a test only.
  const untilSaid = async (vmId: string, words: string): Promise<void> => {
    const path = join(folderOf(vmId), 'console.log');
    while (!(await readFile(path, 'utf8')).includes(words)) await delay(50);
  };

  // Process 1 has inherited them, and takes its time to bury them.
  const untilGone = (vmId: string): Promise<void> =>
    expect.poll(() => existsSync(`/proc/${owned[vmId]?.pid}`)).toBe(false);

  beforeAll(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'qemu-adopt-'));
    if (isRoot) decoy = startDecoy();
    owned = await ownAndDie(stateDir);
    decoy?.stdin?.write(`${owned['running']?.instanceId}\n`);
    await untilSaid('power-off', 'reboot: Power down');
    await untilSaid('reboot', 'farewell reboot');
    await untilSaid('panic', 'Kernel panic');
    runtime = await openIn(stateDir);
  });

  afterAll(async () => {
    runtime ??= await openIn(stateDir);
    await destroyAll(runtime);
    await runtime.close();
    await rm(stateDir, { recursive: true, force: true });
    decoy?.kill('SIGKILL');
  });

  it('a VM that must not outlive its owner is gone', async () => {
    const isThere = (): Promise<boolean> =>
      access(folderOf('owned')).then(
        () => true,
        () => false,
      );
    await expect.poll(isThere).toBe(false);
    await untilGone('owned');
  });

  it.runIf(isRoot)('a stranger’s process with the arguments of a QEMU is not taken for it', async () => {
    const { instanceId, pid } = owned['running'] ?? {};
    expect(decoy?.pid).toBeLessThan(pid ?? 0);
    expect(await readFile(`/proc/${decoy?.pid ?? 0}/cmdline`, 'utf8')).toContain(instanceId);
    expect((await opened().getVm('running'))?.vmm?.pid).toBe(pid);
    expect(decoy?.exitCode ?? decoy?.signalCode).toBeNull();
  });

  it('a running VM has run on, is taken over, and can do all that it could', async () => {
    expect(await opened().getVm('running')).toMatchObject({
      state: 'running',
      vmm: { pid: owned['running']?.pid },
    });
    const guest = await opened().guest('running');
    const count = await readCounter(guest);
    await expect.poll(() => readCounter(guest)).toBeGreaterThan(count);
    await opened().snapshotVm('running', 'adopted');
    expect(await opened().stopVm('running')).toMatchObject({
      stop: 'graceful',
      ending: { reason: 'shutdown' },
    });
  });

  it('a VM that was restored and never resumed is repaired when it is; its end is seen', async () => {
    expect((await opened().getVm('paused'))?.state).toBe('paused');
    await opened().resumeVm('paused');
    const guest = await opened().guest('paused');
    expect((await guest.ping()).epoch).toBe(2);
    expect(await outputOf(guest, 'cat /etc/machine-id')).toBe(owned['paused']?.instanceId);
    await endGuest(opened(), 'paused', 'kill-vmm');
    await expect.poll(async () => (await opened().getVm('paused'))?.state).toBe('crashed');
    // The kernel tells how a process ended that is not our child only since Linux 6.15.
    expect((await opened().getVm('paused'))?.ending).toMatchObject({ reason: 'vmm-exit' });
  });

  it.each([
    ['power-off', 'stopped'],
    ['reboot', 'stopped'],
    ['panic', 'crashed'],
  ])('the reason of an ending that nobody saw is known: %s', async (reason, state) => {
    const view = await opened().getVm(reason);
    expect(view).toMatchObject({ state, ending: { reason } });
    expect(view?.vmm).toBeUndefined();
    await untilGone(reason);
  });
});
