import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VmMetrics, VmRuntime, VmSpec } from '@microvm/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFirecrackerRuntime, probeFirecracker } from '../src/index.js';
import { imageDefaults } from './factory.js';

// Firecracker counts what its host side does whether or not the processor lets a guest run.
const kvm = 'unchecked';
const { usable, findings } = await probeFirecracker({ kvm });
const reasons = findings.filter(({ severity }) => severity === 'error').map(({ message }) => message);
const title = usable ? 'the figures of a Firecracker' : `not run: ${reasons.join('; ')}`;

const ACTIONS = 'put_api_requests.actions_count';
const BOOTS = 'put_api_requests.boot_source_count';
/** More than is kept of a file. */
const OUTGROWN_BYTES = 1280 * 1024;
const SPEC: VmSpec = { agent: 'none', memSizeMib: 128, shutdownTimeoutMs: 1 };

describe.skipIf(!usable)(title, () => {
  let stateDir: string;
  let runtime: VmRuntime;
  const open = async (): Promise<VmRuntime> =>
    createFirecrackerRuntime({ kvm, stateDir, defaults: { ...(await imageDefaults()), ...SPEC } });
  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'firecracker-metrics-'));
    runtime = await open();
  });
  afterEach(async () => {
    for (const { vmId, state } of await runtime.listVms()) {
      if (state !== 'destroyed') await runtime.destroyVm(vmId);
    }
    await runtime.close();
    await rm(stateDir, { recursive: true });
  });

  async function metricsOf(vmId: string): Promise<VmMetrics> {
    const metrics = await runtime.metricsVm(vmId);
    if (metrics === undefined) throw new Error(`"${vmId}" has no metrics`);
    return metrics;
  }

  async function counted(vmId: string, counter: string): Promise<number | undefined> {
    return (await metricsOf(vmId)).vmm.counters[counter];
  }

  async function start(vmId: string): Promise<void> {
    await runtime.createVm(vmId);
    await runtime.startVm(vmId);
  }

  it('are the sums of its lines, up to now', async () => {
    await start('a');
    const first = await counted('a', ACTIONS);
    expect(first).toBeGreaterThan(0);
    // Each call has it flush once, which is an action of its own.
    expect(await counted('a', ACTIONS)).toBe((first ?? 0) + 1);
    const { instanceId, vmm } = await metricsOf('a');
    const lines = (await readFile(join(stateDir, 'vms', instanceId, 'metrics.log'), 'utf8'))
      .trim()
      .split('\n');
    // One that it writes when it starts, to say how long that took; and those of the three calls.
    expect(lines).toHaveLength(4);
    const sums = lines
      .map((line) => JSON.parse(line) as { put_api_requests: Record<string, number> })
      .reduce((sum, { put_api_requests: puts }) => sum + (puts['actions_count'] ?? 0), 0);
    expect(vmm.counters[ACTIONS]).toBe(sums);
    expect(Object.keys(vmm.counters).length).toBeGreaterThan(200);
    expect(vmm.gauges['utc_timestamp_ms']).toBeGreaterThan(Date.now() - 60_000);
    expect(vmm.counters).not.toHaveProperty(['utc_timestamp_ms']);
  });

  it('are beside those of its process and its cgroup, while it has them', async () => {
    await start('a');
    const { process, cgroup } = await metricsOf('a');
    expect(process?.residentBytes).toBeGreaterThan(1024 * 1024);
    // The VMM's own thread, that of its API, and one for the processor.
    expect(process?.threadCount).toBeGreaterThanOrEqual(3);
    expect(process?.openFileCount).toBeGreaterThan(10);
    if (runtime.capabilities.spec.resourceLimits) expect(cgroup?.cpu?.usageUs).toBeGreaterThan(0);
    await runtime.stopVm('a');
    expect(await metricsOf('a')).not.toHaveProperty('process');
    expect(await metricsOf('a')).not.toHaveProperty('cgroup');
  });

  it('of a paused VM are up to now as well', async () => {
    await start('a');
    await runtime.pauseVm('a');
    const before = (await counted('a', ACTIONS)) ?? 0;
    expect(await counted('a', ACTIONS)).toBe(before + 1);
    expect((await metricsOf('a')).vmm.gauges['latencies_us.pause_vm']).toBeGreaterThan(0);
  });

  it('of a VM that was never started are none: its Firecracker is not asked', async () => {
    await runtime.createVm('a');
    expect((await metricsOf('a')).vmm).toEqual({ counters: {}, gauges: {} });
    await runtime.startVm('a');
    expect(await counted('a', 'put_api_requests.actions_fails')).toBe(0);
  });

  it('go on over a stop, a start and a new owner', async () => {
    await start('a');
    const running = (await counted('a', ACTIONS)) ?? 0;
    await runtime.stopVm('a');
    // It was killed, as its guest cannot halt here, and asked for its last figures before.
    const stopped = (await counted('a', ACTIONS)) ?? 0;
    expect(stopped).toBeGreaterThan(running);
    expect(await counted('a', BOOTS)).toBe(1);
    await runtime.startVm('a');
    expect(await counted('a', BOOTS)).toBe(2);
    expect(await counted('a', ACTIONS)).toBe(stopped + 3);
    await runtime.close();
    runtime = await open();
    expect(await counted('a', BOOTS)).toBe(2);
    expect(await counted('a', ACTIONS)).toBe(stopped + 5);
  });

  it('of a restored VM begin at its own zero', async () => {
    await start('a');
    const { snapshotUid } = await runtime.snapshotVm('a', 's');
    await runtime.createVmWithSpec('b', { restoreFrom: { snapshotUid } });
    const { vmm } = await metricsOf('b');
    expect(vmm.counters[BOOTS]).toBe(0);
    expect(vmm.gauges['latencies_us.load_snapshot']).toBeGreaterThan(0);
    expect(await counted('a', BOOTS)).toBe(1);
  });

  it('lose nothing when the front of the file is given back', async () => {
    await start('a');
    const first = (await counted('a', ACTIONS)) ?? 0;
    const { instanceId } = await metricsOf('a');
    const path = join(stateDir, 'vms', instanceId, 'metrics.log');
    let calls = 1;
    for (; (await stat(path)).size < OUTGROWN_BYTES; calls += 1) await counted('a', ACTIONS);
    // The log's keeper is woken by what is written.
    await expect.poll(async () => (await readFile(path))[0]).toBe(0);
    await runtime.close();
    runtime = await open();
    expect(await counted('a', ACTIONS)).toBe(first + calls + 1);
  });
});
