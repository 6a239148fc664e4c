import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf, readCounter, startCounter } from '@microvm/conformance/linux-guest';
import type { VmRuntime } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { createFirecrackerRuntime, probeFirecracker } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { takeLedger } from '../ledger.js';

const report = await probeFirecracker();
const reasons = report.findings.filter(({ severity }) => severity === 'error').map(({ message }) => message);
const title = report.usable ? 'the whole life of a VM' : `not run: ${reasons.join('; ')}`;
// Everything is emulated, the host too.
const TIMEOUT_MS = 600_000;

async function exec(runtime: VmRuntime, vmId: string, script: string): Promise<string> {
  return outputOf(await runtime.guest(vmId), script);
}

describe.skipIf(!report.usable)(title, { timeout: TIMEOUT_MS }, () => {
  it('goes from boot to destroy over snapshots and live clones, and leaves nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'firecracker-life-'));
    const stateDir = join(folder, 'state');
    const before = await takeLedger({ stateDir, scope: 'host' });
    const runtime = await createFirecrackerRuntime({ stateDir, defaults: await imageDefaults() });
    await runtime.createVm('first');
    await runtime.startVm('first');
    expect(await exec(runtime, 'first', 'uname -s; hostname')).toContain('Linux');
    await startCounter(await runtime.guest('first'));
    const snapshot = await runtime.snapshotVm('first', 'warm');
    const counted = await readCounter(await runtime.guest('first'));
    const restoreFrom = { snapshotUid: snapshot.snapshotUid };
    const clones = ['clone-1', 'clone-2', 'clone-3'];
    await Promise.all(clones.map((vmId) => runtime.createVmWithSpec(vmId, { restoreFrom })));
    const ids = await Promise.all(clones.map((vmId) => exec(runtime, vmId, 'cat /etc/machine-id')));
    expect(new Set(ids).size).toBe(3);
    for (const vmId of clones) expect(await readCounter(await runtime.guest(vmId))).toBeGreaterThan(0);
    await runtime.renameVm('clone-1', 'tenant');
    expect(await exec(runtime, 'tenant', 'echo still here')).toBe('still here');
    expect(await readCounter(await runtime.guest('first'))).toBeGreaterThanOrEqual(counted);
    expect(await exec(runtime, 'tenant', 'echo kept > /mnt/root/file; cat /mnt/root/file')).toBe('kept');
    expect(await runtime.stopVm('tenant')).toMatchObject({ state: 'stopped', stop: 'graceful' });
    await runtime.startVm('tenant');
    expect(await exec(runtime, 'tenant', 'cat /mnt/root/file')).toBe('kept');
    for (const { vmId } of await runtime.listVms()) {
      expect(await runtime.destroyVm(vmId)).toMatchObject({ state: 'destroyed' });
    }
    await runtime.deleteSnapshot(restoreFrom);
    await runtime.close();
    await rm(stateDir, { recursive: true });
    expect(await takeLedger({ stateDir, scope: 'host' })).toEqual(before);
    await rm(folder, { recursive: true });
  });
});
