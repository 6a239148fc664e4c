import { parseVmSpec, resolveVmSpec, type VmSpec } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import type { ApiRequest } from '../src/api/wire.js';
import { afterRestore, configuration, type VmmFiles } from '../src/vm/configuration.js';
import { guestCid } from '../src/vm/configure.js';

const FILES: VmmFiles = { kernel: 'kernel', drives: [], vsock: 'v.sock' };

function requestsFor(given: VmSpec, files: Partial<VmmFiles> = {}): readonly ApiRequest[] {
  const spec = resolveVmSpec(parseVmSpec(given), {});
  return configuration({ spec, files: { ...FILES, ...files }, bootArgs: 'quiet', guestCid: guestCid(spec) });
}

function bodyOf(path: string, given: VmSpec, files?: Partial<VmmFiles>): unknown {
  return requestsFor(given, files).find((request) => request.path === path)?.body;
}

const limiter = {
  bandwidth: { size: 1000, oneTimeBurst: 10, refillTimeMs: 100 },
  ops: { size: 5, refillTimeMs: 200 },
};
const LIMITER = {
  bandwidth: { size: 1000, one_time_burst: 10, refill_time: 100 },
  ops: { size: 5, refill_time: 200 },
};

describe('what a VM’s Firecracker is told', () => {
  it('has nothing that was not asked for', () => {
    expect(requestsFor({})).toEqual([
      { method: 'PUT', path: '/machine-config', body: { vcpu_count: 1, mem_size_mib: 128 } },
      { method: 'PUT', path: '/boot-source', body: { kernel_image_path: 'kernel', boot_args: 'quiet' } },
      { method: 'PUT', path: '/vsock', body: { guest_cid: 3, uds_path: 'v.sock' } },
    ]);
  });

  it('has the machine', () => {
    const spec: VmSpec = {
      vcpuCount: 4,
      memSizeMib: 512,
      smt: true,
      cpuTemplate: 'T2',
      trackDirtyPages: true,
      hugePages: '2M',
    };
    expect(bodyOf('/machine-config', spec)).toEqual({
      vcpu_count: 4,
      mem_size_mib: 512,
      smt: true,
      cpu_template: 'T2',
      track_dirty_pages: true,
      huge_pages: '2M',
    });
    expect(bodyOf('/boot-source', spec, { initrd: 'initrd' })).toMatchObject({ initrd_path: 'initrd' });
  });

  it('has the drives in the order of the spec, each with its tuning', () => {
    const drives: VmmFiles['drives'] = [
      { driveId: 'root', path: 'disks/root', readOnly: false },
      { driveId: 'data', path: 'disks/data', readOnly: true },
    ];
    const spec: VmSpec = {
      rootDrive: { path: '/r', cacheType: 'Writeback', rateLimiter: limiter },
      drives: [{ driveId: 'data', path: '/d', mode: 'shared', ioEngine: 'Async' }],
    };
    const paths = requestsFor(spec, { drives }).map(({ path }) => path);
    expect(paths.filter((path) => path.startsWith('/drives'))).toEqual(['/drives/root', '/drives/data']);
    expect(bodyOf('/drives/root', spec, { drives })).toEqual({
      drive_id: 'root',
      path_on_host: 'disks/root',
      is_root_device: true,
      is_read_only: false,
      cache_type: 'Writeback',
      rate_limiter: LIMITER,
    });
    expect(bodyOf('/drives/data', spec, { drives })).toEqual({
      drive_id: 'data',
      path_on_host: 'disks/data',
      is_root_device: false,
      is_read_only: true,
      io_engine: 'Async',
    });
    // It is the initrd that mounts the disks then.
    const withInitrd = bodyOf('/drives/root', { ...spec, initrdPath: '/i' }, { drives });
    expect(withInitrd).toMatchObject({ is_root_device: false });
  });

  it('has real flushes for every disk that the guest may write, unless the caller gives them up', () => {
    const drives: VmmFiles['drives'] = [
      { driveId: 'root', path: 'disks/root', readOnly: false },
      { driveId: 'scratch', path: 'disks/scratch', readOnly: false },
      { driveId: 'data', path: 'disks/data', readOnly: true },
    ];
    const spec: VmSpec = {
      rootDrive: { path: '/r' },
      drives: [
        { driveId: 'scratch', path: '/s', cacheType: 'Unsafe' },
        { driveId: 'data', path: '/d' },
      ],
    };
    expect(bodyOf('/drives/root', spec, { drives })).toMatchObject({ cache_type: 'Writeback' });
    expect(bodyOf('/drives/scratch', spec, { drives })).toMatchObject({ cache_type: 'Unsafe' });
    expect(bodyOf('/drives/data', spec, { drives })).not.toHaveProperty('cache_type');
  });

  it('has the interfaces', () => {
    const spec: VmSpec = {
      networkInterfaces: [
        {
          ifaceId: 'eth0',
          hostDevName: 'tap0',
          guestMac: '02:00:00:00:00:01',
          mtu: 1400,
          rxRateLimiter: limiter,
          txRateLimiter: { ops: limiter.ops },
        },
      ],
    };
    expect(bodyOf('/network-interfaces/eth0', spec)).toEqual({
      iface_id: 'eth0',
      host_dev_name: 'tap0',
      guest_mac: '02:00:00:00:00:01',
      mtu: 1400,
      rx_rate_limiter: LIMITER,
      tx_rate_limiter: { ops: LIMITER.ops },
    });
  });

  it('has the other devices', () => {
    const nic = { ifaceId: 'eth0', hostDevName: 'tap0' };
    expect(bodyOf('/balloon', { balloon: { amountMib: 10, statsPollingIntervalS: 2 } })).toEqual({
      amount_mib: 10,
      deflate_on_oom: true,
      stats_polling_interval_s: 2,
    });
    expect(bodyOf('/balloon', { balloon: { amountMib: 0, freePageReporting: true } })).toEqual({
      amount_mib: 0,
      deflate_on_oom: true,
      free_page_reporting: true,
    });
    expect(bodyOf('/entropy', { entropy: {} })).toEqual({});
    expect(bodyOf('/entropy', { entropy: { rateLimiter: limiter } })).toEqual({ rate_limiter: LIMITER });
    const serial = { rateLimiter: { bandwidth: limiter.bandwidth } };
    expect(bodyOf('/serial', { serial })).toEqual({ rate_limiter: LIMITER.bandwidth });
    const mmds = { networkInterfaces: ['eth0'], ipv4Address: '169.254.1.1', data: { a: { b: 1 } } };
    const spec: VmSpec = { networkInterfaces: [nic], mmds };
    expect(bodyOf('/mmds/config', spec)).toEqual({
      version: 'V2',
      network_interfaces: ['eth0'],
      ipv4_address: '169.254.1.1',
    });
    expect(bodyOf('/mmds', spec)).toEqual({ a: { b: 1 } });
    expect(afterRestore(resolveVmSpec(spec, {}))).toEqual([
      { method: 'PUT', path: '/mmds', body: { a: { b: 1 } } },
    ]);
    expect(afterRestore(resolveVmSpec({}, {}))).toEqual([]);
  });

  it('has a vsock device for a guest with our agent, and for another when it is asked for', () => {
    expect(bodyOf('/vsock', { agent: 'none' })).toBeUndefined();
    expect(bodyOf('/vsock', { agent: 'none', vsock: { guestCid: 7 } })).toMatchObject({ guest_cid: 7 });
    expect(bodyOf('/vsock', { vsock: { guestCid: 9 } })).toMatchObject({ guest_cid: 9 });
  });
});
