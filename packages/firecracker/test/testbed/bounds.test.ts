import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { destroyAll } from '@microvm/conformance';
import { MIB, type VmView } from '@microvm/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFirecrackerRuntime, probeFirecracker } from '../../src/index.js';
import { imageDefaults } from '../factory.js';

const report = await probeFirecracker();
const reasons = report.findings.filter(({ severity }) => severity === 'error').map(({ message }) => message);
const title = report.usable ? 'the bounds of a VM' : `not run: ${reasons.join('; ')}`;
const TIMEOUT_MS = 600_000;

describe.skipIf(!report.usable)(title, { timeout: TIMEOUT_MS }, () => {
  let stateDir: string;
  let runtime: Awaited<ReturnType<typeof createFirecrackerRuntime>>;
  beforeAll(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'firecracker-bounds-'));
    runtime = await createFirecrackerRuntime({ stateDir, defaults: await imageDefaults() });
  }, TIMEOUT_MS);
  afterAll(async () => {
    await destroyAll(runtime);
    await runtime.close();
    await rm(stateDir, { recursive: true });
  }, TIMEOUT_MS);

  const cgroupFile = async (view: VmView, name: string): Promise<string> =>
    (await readFile(join(await cgroupOf(view), name), 'utf8')).trim();

  it('are its cgroup’s, and one that needs more memory is killed and says so', async () => {
    const limits = { cpuCores: 0.5, memoryHeadroomMib: 8, pidsMax: 50, ioWriteBytesPerSecond: 50 * MIB };
    await runtime.createVmWithSpec('hungry', { memSizeMib: 128, limits });
    const view = await runtime.startVm('hungry');
    expect(await cgroupFile(view, 'cpu.max')).toBe('50000 100000');
    expect(await cgroupFile(view, 'memory.max')).toBe(String(136 * MIB));
    expect(await cgroupFile(view, 'memory.swap.max')).toBe('0');
    expect(await cgroupFile(view, 'pids.max')).toBe('50');
    expect(await cgroupFile(view, 'io.max')).toContain(`wbps=${50 * MIB}`);
    // The limit is made tighter than the guest's memory: what a guest has used is not given back.
    const ended = (async () => {
      for await (const event of runtime.events()) {
        if (event.type === 'vm-state' && event.to === 'crashed') return event.ending;
      }
      return undefined;
    })();
    await tighten(view, 60 * MIB);
    const guest = await runtime.guest('hungry');
    guest
      .exec({ argv: ['sh', '-c', 'dd if=/dev/zero of=/run/fill bs=1M count=100'] })
      .result.catch(() => undefined);
    const ending = await ended;
    expect(ending).toMatchObject({ reason: 'vmm-exit', signal: 'SIGKILL' });
    expect(ending?.lastLogLines.join('\n')).toContain('killed by the kernel: memory.max');
  });
});

async function tighten(view: VmView, bytes: number): Promise<void> {
  await writeFile(join(await cgroupOf(view), 'memory.max'), String(bytes));
}

async function cgroupOf({ vmm }: VmView): Promise<string> {
  const path = (await readFile(`/proc/${vmm?.pid ?? 0}/cgroup`, 'utf8')).trim().split('::')[1] ?? '';
  return join('/sys/fs/cgroup', path);
}
