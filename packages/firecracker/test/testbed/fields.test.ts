import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { destroyAll } from '@microvm/conformance';
import { outputOf } from '@microvm/conformance/linux-guest';
import { MIB, type VmRuntime, type VmSpec } from '@microvm/runtime';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createFirecrackerRuntime, probeFirecracker } from '../../src/index.js';
import { imageDefaults } from '../factory.js';

/*
 * What the guest sees of fields that Firecracker merely accepts elsewhere. An upper bound of a time means
 * nothing on an emulated host. A lower one does: what a limit lets through takes as long as the limit says,
 * however busy the host is. The ratio to the same work without a limit is printed.
 */

const report = await probeFirecracker();
const reasons = report.findings.filter(({ severity }) => severity === 'error').map(({ message }) => message);
const title = report.usable ? 'spec fields, as the guest sees them' : `not run: ${reasons.join('; ')}`;
const TIMEOUT_MS = 900_000;
const DISK_BYTES = 8 * MIB;
const run = promisify(execFile);

/** 128 KiB at once, and 128 KiB a second: a MiB takes 7 s. */
const SLOW = { bandwidth: { size: 128 * 1024, refillTimeMs: 1000 } };
/** The guest's clock begins to count when some of the bytes are on their way. */
const LEAST_SECONDS_OF_A_MIB = 6;

describe.skipIf(!report.usable)(title, { timeout: TIMEOUT_MS }, () => {
  let folder: string;
  let runtime: VmRuntime;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'firecracker-fields-'));
    const stateDir = join(folder, 'state');
    runtime = await createFirecrackerRuntime({ stateDir, defaults: await imageDefaults() });
  }, TIMEOUT_MS);
  afterAll(async () => {
    await destroyAll(runtime);
    await runtime.close();
    await rm(folder, { recursive: true });
  }, TIMEOUT_MS);

  const guest = async (vmId: string, script: string): Promise<string> =>
    outputOf(await runtime.guest(vmId), script);
  /** Seconds of the guest's own clock that a script takes there. */
  async function secondsOf(vmId: string, script: string): Promise<number> {
    const said = await guest(vmId, `cat /proc/uptime; { ${script}; } >/dev/null 2>&1; cat /proc/uptime`);
    const [from = 0, to = 0] = said.split('\n').map((line) => Number(line.split(' ')[0]));
    return to - from;
  }
  async function makeDisk(name: string): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, '');
    await truncate(path, DISK_BYTES);
    return path;
  }
  async function boot(vmId: string, spec: VmSpec): Promise<void> {
    await runtime.createVmWithSpec(vmId, spec);
    await runtime.startVm(vmId);
  }

  describe('of disks and processors', () => {
    beforeAll(async () => {
      const path = await makeDisk('disk');
      const drives: VmSpec['drives'] = [
        { driveId: 'plain', path },
        { driveId: 'slow', path, rateLimiter: SLOW },
        { driveId: 'unsafe', path, cacheType: 'Unsafe' },
        { driveId: 'async', path, ioEngine: 'Async' },
      ];
      await boot('disks', { vcpuCount: 2, smt: true, trackDirtyPages: true, drives });
      await boot('plain', { vcpuCount: 2 });
    }, TIMEOUT_MS);

    const siblings = 'cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list';

    it('two CPUs are the threads of one core with smt, and two cores without', async () => {
      expect(await guest('disks', siblings)).toBe('0-1');
      expect(await guest('plain', siblings)).toBe('0');
    });

    it('a disk with a limit of bandwidth is as many times slower', async () => {
      const read = (disk: string): string => `dd if=/dev/${disk} of=/dev/null bs=64k count=16 iflag=direct`;
      const [plain, slow] = [await secondsOf('disks', read('vdb')), await secondsOf('disks', read('vdc'))];
      console.log(`limited disk: ${(slow / plain).toFixed(1)} times`);
      expect(slow).toBeGreaterThan(LEAST_SECONDS_OF_A_MIB);
      expect(slow).toBeGreaterThan(plain);
    });

    it('a disk can be flushed, unless the spec gives that up', async () => {
      const cache = (disk: string): string => `cat /sys/block/${disk}/queue/write_cache`;
      expect(await guest('disks', cache('vdb'))).toBe('write back');
      expect(await guest('disks', cache('vdd'))).toBe('write through');
      const write = (disk: string): string =>
        `for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/dev/${disk} bs=4k count=1 conv=fsync; done`;
      const [flushed, unsafe] = [
        await secondsOf('disks', write('vdb')),
        await secondsOf('disks', write('vdd')),
      ];
      console.log(
        `8 writes of 4 KiB, each flushed: ${(flushed / unsafe).toFixed(2)} times those that are not`,
      );
    });

    it('a disk with Async I/O is served by io_uring, and keeps what is written', async () => {
      await guest('disks', 'echo through the ring | dd of=/dev/vde conv=fsync');
      expect(await guest('disks', 'head -c 16 /dev/vde')).toBe('through the ring');
      expect(await descriptorsOf('disks')).toContain('anon_inode:[io_uring]');
      expect(await descriptorsOf('plain')).not.toContain('anon_inode:[io_uring]');
    });

    it('a VM that tracks its dirty pages is captured and restored as any other', async () => {
      const { snapshotUid } = await runtime.snapshotVm('disks', 'tracked');
      await runtime.createVmWithSpec('disks-2', { restoreFrom: { snapshotUid } });
      expect(await guest('disks-2', 'head -c 16 /dev/vde')).toBe('through the ring');
      await runtime.destroyVm('disks-2');
    });
  });

  // What a template masks can be seen only on a processor that Firecracker has a template for; the testbed
  // emulates none.
  it('a CPU template takes features of the processor away, or is refused in Firecracker’s words', async () => {
    const vendor = /vendor_id\s*: (\w+)/.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1];
    await runtime.createVmWithSpec('template', { cpuTemplate: vendor === 'AuthenticAMD' ? 'T2A' : 'T2' });
    const refused = await runtime.startVm('template').then(
      () => undefined,
      (error: unknown) => error,
    );
    if (refused !== undefined) {
      expect(refused).toMatchObject({
        code: 'MICROVM_VMM_REJECTED',
        details: { faultMessage: expect.stringContaining('CPU template') as string },
      });
      console.log('CPU template: refused, the processor has none');
    } else {
      const flags = async (vmId: string): Promise<string[]> =>
        (await guest(vmId, 'grep -m1 ^flags /proc/cpuinfo')).split(/\s+/);
      const left = await flags('template');
      const gone = (await flags('plain')).filter((flag) => !left.includes(flag));
      console.log(`CPU template: without ${gone.join(' ')}`);
      expect(gone).not.toEqual([]);
    }
    await runtime.destroyVm('template');
  });

  it('a balloon takes memory from the guest', async () => {
    await boot('balloon', { memSizeMib: 256, balloon: { amountMib: 64 } });
    const freeKib = async (): Promise<number> =>
      Number(await guest('balloon', "awk '/MemFree/ {print $2}' /proc/meminfo"));
    await vi.waitFor(async () => expect(await freeKib()).toBeLessThan((256 - 64) * 1024), {
      timeout: 60_000,
    });
    await runtime.destroyVm('balloon');
  });

  // The guest reports free blocks of 2 MiB. A balloon that holds single pages would leave it few, so this one
  // holds none.
  it('pages that the guest frees go back to the host, where the balloon reports them', async () => {
    await boot('reporting', { memSizeMib: 256, balloon: { amountMib: 0, freePageReporting: true } });
    const residentKib = async (): Promise<number> => {
      const pid = (await runtime.getVm('reporting'))?.vmm?.pid ?? 0;
      return Number(/VmRSS:\s*(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
    };
    await guest('reporting', 'dd if=/dev/zero of=/run/fill bs=1M count=80');
    const full = await residentKib();
    await guest('reporting', 'rm /run/fill');
    await vi.waitFor(async () => expect(await residentKib()).toBeLessThan(full - 40 * 1024), {
      timeout: 240_000,
      interval: 1000,
    });
    await runtime.destroyVm('reporting');
  });

  it('the metadata service answers who has a token, also after a restore, and a slow interface is slow', async () => {
    const taps = ['fields-mmds', 'fields-slow'];
    for (const tap of taps) await run('ip', ['tuntap', 'add', tap, 'mode', 'tap']);
    try {
      await boot('net', {
        networkInterfaces: [
          { ifaceId: 'eth0', hostDevName: 'fields-mmds' },
          { ifaceId: 'eth1', hostDevName: 'fields-slow', rxRateLimiter: SLOW },
        ],
        mmds: { networkInterfaces: ['eth0'], data: { latest: { word: 'hello' } } },
      });
      await addAddresses(taps);
      await guest('net', 'for i in 0 1; do ip addr add 10.77.$i.2/24 dev eth$i; ip link set eth$i up; done');
      await guest('net', 'ip route add 169.254.169.254 dev eth0');
      expect(await metadata('net')).toContain('"hello"');
      expect(await guest('net', get('X-nothing: 1'))).toContain('401');
      const server = createServer((socket) => void socket.end(Buffer.alloc(MIB))).listen(7777);
      await once(server, 'listening');
      const [plain, slow] = [await secondsOfTransfer(0), await secondsOfTransfer(1)];
      server.close();
      console.log(`limited interface: ${(slow / plain).toFixed(1)} times`);
      expect(slow).toBeGreaterThan(LEAST_SECONDS_OF_A_MIB);
      expect(slow).toBeGreaterThan(plain);
      const { snapshotUid } = await runtime.snapshotVm('net', 'with-data');
      await runtime.destroyVm('net');
      await runtime.createVmWithSpec('net-2', { restoreFrom: { snapshotUid } });
      expect(await metadata('net-2')).toContain('"hello"');
      await runtime.destroyVm('net-2');
    } finally {
      for (const tap of taps) await run('ip', ['link', 'del', tap]).catch(() => undefined);
    }
  });

  /** Seconds of the guest's own clock in which it takes 1 MiB from the host over an interface. */
  async function secondsOfTransfer(index: number): Promise<number> {
    const script = `cat /proc/uptime; nc 10.77.${index}.1 7777 < /dev/null | wc -c; cat /proc/uptime`;
    const [from = '', bytes, to = ''] = (await guest('net', script)).split('\n');
    expect(Number(bytes), `bytes over eth${index}`).toBe(MIB);
    return parseFloat(to) - parseFloat(from);
  }

  const http = (request: string): string => `printf '${request}' | nc -w 5 169.254.169.254 80`;
  const get = (header: string): string =>
    http(`GET /latest/word HTTP/1.1\\r\\n${header}\\r\\nAccept: application/json\\r\\n\\r\\n`);

  async function metadata(vmId: string): Promise<string> {
    const asked = 'PUT /latest/api/token HTTP/1.1\\r\\nX-metadata-token-ttl-seconds: 600\\r\\n\\r\\n';
    const token = (await guest(vmId, http(asked))).trim().split(/\r?\n/).at(-1) ?? '';
    return guest(vmId, get(`X-metadata-token: ${token}`));
  }

  async function descriptorsOf(vmId: string): Promise<string[]> {
    const folder = `/proc/${(await runtime.getVm(vmId))?.vmm?.pid ?? 0}/fd`;
    return Promise.all((await readdir(folder)).map((fd) => readlink(join(folder, fd))));
  }
});

async function addAddresses(taps: readonly string[]): Promise<void> {
  for (const [index, tap] of taps.entries()) {
    await run('ip', ['addr', 'add', `10.77.${index}.1/24`, 'dev', tap]);
    await run('ip', ['link', 'set', tap, 'up']);
  }
}
