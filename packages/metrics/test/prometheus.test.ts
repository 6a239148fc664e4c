import { createInMemoryRuntime } from '@microvm/in-memory';
import type { VmRuntime } from '@microvm/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { watchRuntime, type RuntimeMetrics } from '../src/index.js';
import { metricOf } from '../src/metric-name.js';

const SPEC = { kernelPath: '/k' };

describe('the text for Prometheus', () => {
  let runtime: VmRuntime;
  let metrics: RuntimeMetrics;
  beforeEach(async () => {
    runtime = await createInMemoryRuntime({ defaults: SPEC });
    metrics = await watchRuntime(runtime);
  });
  afterEach(async () => {
    metrics.close();
    await runtime.close();
  });

  it('has VMs by state, and each VM by its names', async () => {
    await runtime.createVm('a');
    const { instanceId } = await runtime.startVm('a');
    await runtime.createVm('b');
    const text = await metrics.text();
    expect(text).toContain('microvm_vms{state="running",driver="in-memory"} 1\n');
    expect(text).toContain('microvm_vms{state="created",driver="in-memory"} 1\n');
    expect(text).toContain('microvm_vms{state="crashed",driver="in-memory"} 0\n');
    const bytes = (await runtime.metricsVm('a'))?.vmm.counters['console.bytes'];
    const labels = `vm_id="a",instance_id="${instanceId}",driver="in-memory"`;
    expect(text).toContain(`microvm_vmm_console_bytes_total{${labels}} ${bytes}\n`);
    expect(text).toContain('# TYPE microvm_vmm_console_bytes_total counter\n');
    expect(text).toContain('# TYPE microvm_vmm_guest_epoch gauge\n');
  });

  it('has a VM no more that is gone, and counts none twice', async () => {
    await runtime.createVm('a');
    await metrics.text();
    await runtime.renameVm('a', 'tenant');
    const renamed = await metrics.text();
    expect(renamed).not.toContain('vm_id="a"');
    expect(renamed).toContain('vm_id="tenant"');
    await runtime.destroyVm('tenant');
    expect(await metrics.text()).not.toContain('vm_id=');
  });

  it('counts jobs by kind and how they ended, with their durations', async () => {
    await runtime.createVm('a');
    await runtime.createVm('a').catch(() => undefined);
    await expect
      .poll(() => metrics.text())
      .toContain('microvm_jobs_total{kind="createVm",status="failed"} 1\n');
    const text = await metrics.text();
    expect(text).toContain('microvm_jobs_total{kind="createVm",status="succeeded"} 1\n');
    expect(text).toContain('microvm_job_duration_seconds_count{kind="createVm",status="succeeded"} 1\n');
    expect(text).toContain(
      'microvm_job_duration_seconds_bucket{le="120",kind="createVm",status="succeeded"} 1\n',
    );
  });

  it('has what each running guest says of itself, unless that is not wanted', async () => {
    const memory = { totalBytes: 8, freeBytes: 4, availableBytes: 6, swapTotalBytes: 2, swapFreeBytes: 1 };
    const disk = { name: 'vda', readBytes: 512, writtenBytes: 1024, readCount: 1, writeCount: 2 };
    const guest = { metrics: () => ({ load: [0.5, 1, 1.5] as const, memory, disks: [disk] }) };
    const scripted = await createInMemoryRuntime({ defaults: SPEC, guest });
    const all = await watchRuntime(scripted);
    const fewer = await watchRuntime(scripted, { guests: false });
    await scripted.createVm('a');
    const { instanceId } = await scripted.startVm('a');
    await scripted.createVm('not-running');
    const text = await all.text();
    const labels = `vm_id="a",instance_id="${instanceId}",driver="in-memory"`;
    expect(text).toContain(`microvm_guest_memory_available_bytes{${labels}} 6\n`);
    expect(text).toContain(`microvm_guest_load{${labels},minutes="15"} 1.5\n`);
    expect(text).toContain(`microvm_guest_disk_written_bytes_total{${labels},disk="vda"} 1024\n`);
    expect(text).not.toMatch(/microvm_guest.*vm_id="not-running"/);
    expect(await fewer.text()).not.toContain('microvm_guest_');
    all.close();
    fewer.close();
    await scripted.close();
  });

  it('leaves out what is not wanted', async () => {
    await runtime.createVm('a');
    const some = await watchRuntime(runtime, { include: (name) => name.startsWith('guest.') });
    const text = await some.text();
    some.close();
    expect(text).toContain('microvm_vmm_guest_epoch');
    expect(text).not.toContain('console_bytes');
  });
});

describe('the name of a figure', () => {
  it.each([
    ['block.read_bytes', 'counter', 'microvm_vmm_block_read_bytes_total', 1],
    ['block.read_count', 'counter', 'microvm_vmm_block_read_total', 1],
    ['vcpu.exit_io_in_agg.sum_us', 'counter', 'microvm_vmm_vcpu_exit_io_in_agg_sum_seconds_total', 1e6],
    ['latencies_us.pause_vm', 'gauge', 'microvm_vmm_latencies_pause_vm_seconds', 1e6],
    ['utc_timestamp_ms', 'gauge', 'microvm_vmm_utc_timestamp_seconds', 1e3],
    ['a{b}', 'gauge', 'microvm_vmm_a_b_', 1],
  ] as const)('%s as a %s is %s', (vmmName, kind, name, divisor) => {
    expect(metricOf(vmmName, kind)).toEqual({ name, divisor });
  });
});
