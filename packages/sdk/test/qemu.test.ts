import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { processIdentity, watchProcess, type ProcessWatch } from '@microvm/native';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createMicrovm } from '../src/index.js';

const tsx = createRequire(import.meta.url).resolve('tsx');
const sdk = new URL('../src/index.ts', import.meta.url).href;

async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'sdk-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A user's script that has a running VM and says its process; then `then`. */
function script(then: string, temp: string): ChildProcessByStdio<null, Readable, null> {
  const source = `
    const { microvm } = await import(${JSON.stringify(sdk)});
    const vm = await microvm.create({ memSizeMib: 128 });
    const { vmm } = await vm.view();
    process.stdout.write(vmm.pid + '\\n');
    ${then}`;
  const child = spawn(
    process.execPath,
    ['--import', tsx, '--conditions=@microvm/source', '--input-type=module', '-e', source],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: temp, MICROVM_DRIVER: 'qemu' },
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** A watch on the process of the script's VM, as soon as that runs. */
async function vmmOf(child: ReturnType<typeof script>): Promise<ProcessWatch> {
  const said = await Promise.race([once(child.stdout, 'data'), once(child.stdout, 'end')]);
  const identity = processIdentity(Number(said[0] ?? -1));
  if (identity === undefined) throw new Error('the script ended before its VM ran');
  return watchProcess(identity).ref();
}

const states = async (temp: string) => (await readdir(temp)).filter((name) => name.startsWith('microvm-'));

/** Resolves when no state directory is left. */
async function stateGone(temp: string): Promise<void> {
  const watcher = watch(temp);
  try {
    while ((await states(temp)).length > 0) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

describe('on QEMU', () => {
  it('boots, runs, snapshots, restores, renames and stops, and leaves nothing', async () => {
    const microvm = createMicrovm({ driver: 'qemu' });
    onTestFinished(() => microvm.close());
    const vm = await microvm.create({ memSizeMib: 128 });
    const { stdout, ok } = await vm.exec('uname -s; echo 42 >/tmp/answer');
    expect({ stdout, ok }).toEqual({ stdout: 'Linux\n', ok: true });
    expect(await vm.console()).toContain('Linux version');
    const lines: string[] = [];
    for await (const { text: piece } of vm.exec('cat; exit 3', { input: 'from outside' })) lines.push(piece);
    expect(lines.join('')).toBe('from outside');

    const snapshot = await vm.snapshot('warm');
    const clones = await Promise.all([snapshot.restore(), snapshot.restore()]);
    for (const clone of clones) expect((await clone.exec('cat /tmp/answer')).stdout).toBe('42\n');
    await clones[0].rename('tenant-7');
    expect((await clones[0].exec(['cat', '/tmp/answer'])).stdout).toBe('42\n');
    expect((await vm.stop()).stop).toBe('graceful');

    const vmms = await Promise.all(clones.map(async (clone) => (await clone.view()).vmm));
    await microvm.close();
    for (const vmm of vmms) expect(vmm && processIdentity(vmm.pid)?.startTime).not.toBe(vmm?.startTime);
  });

  it('takes its VM along when its process is killed', async () => {
    const temp = await temporaryFolder();
    const child = script('setInterval(() => {}, 1e6);', temp);
    const vmm = await vmmOf(child);
    expect(await states(temp)).toHaveLength(1);
    child.kill('SIGKILL');
    await vmm.exited;
    await stateGone(temp);
  });

  it('takes its VM along when its process exits in the middle', async () => {
    const temp = await temporaryFolder();
    const child = script('await vm.exec("sync"); process.exit(7);', temp);
    const vmm = await vmmOf(child);
    expect(await once(child, 'exit')).toEqual([7, null]);
    await vmm.exited;
    await stateGone(temp);
  });

  it('lets a script end by itself that has destroyed its VM, and leaves nothing', async () => {
    const temp = await temporaryFolder();
    const child = script('await vm.destroy();', temp);
    const [output, exit] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    expect(exit).toEqual([0, null]);
    expect(processIdentity(Number(output))).toBeUndefined();
    expect(await states(temp)).toEqual([]);
  });
});
