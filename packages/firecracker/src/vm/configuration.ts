import { type ResolvedVmSpec, withoutUndefined } from '@microvm/runtime';
import type * as wire from '../api/wire.js';

type SpecRateLimiter = NonNullable<NonNullable<ResolvedVmSpec['entropy']>['rateLimiter']>;
type SpecBucket = NonNullable<SpecRateLimiter['bandwidth']>;

/** The paths of the files that the spec names, as the VMM sees them. */
export interface VmmFiles {
  readonly kernel: string;
  readonly initrd?: string;
  readonly drives: readonly { readonly driveId: string; readonly path: string; readonly readOnly: boolean }[];
  readonly vsock: string;
}

export interface ConfigurationInput {
  readonly spec: ResolvedVmSpec;
  readonly files: VmmFiles;
  readonly bootArgs: string;
  /** Absent: no vsock device. */
  readonly guestCid: number | undefined;
}

export const ROOT_DRIVE_ID = 'root';

/** The requests that make a VM of a fresh process, up to but without its start. Their order is free. */
export function configuration(input: ConfigurationInput): readonly wire.ApiRequest[] {
  const { spec, files, guestCid } = input;
  const { balloon, entropy, mmds } = spec;
  return [
    put('/machine-config', machineConfiguration(spec)),
    put('/boot-source', bootSource(input)),
    ...driveRequests(spec, files),
    ...(spec.networkInterfaces ?? []).map((nic) =>
      put(`/network-interfaces/${nic.ifaceId}`, networkInterface(nic)),
    ),
    ...(guestCid === undefined
      ? []
      : [put('/vsock', { guest_cid: guestCid, uds_path: files.vsock } satisfies wire.Vsock)]),
    ...(balloon === undefined ? [] : [put('/balloon', balloonDevice(balloon))]),
    ...(entropy === undefined
      ? []
      : [put('/entropy', withoutUndefined({ rate_limiter: rateLimiter(entropy.rateLimiter) }))]),
    ...serialRequests(spec),
    ...(mmds === undefined ? [] : mmdsRequests(mmds)),
  ];
}

/** Requests for a restored VM about what a snapshot does not hold: the data of its metadata service. */
export function afterRestore({ mmds }: ResolvedVmSpec): readonly wire.ApiRequest[] {
  return mmds?.data === undefined ? [] : [put('/mmds', mmds.data)];
}

function put(path: string, body: unknown): wire.ApiRequest {
  return { method: 'PUT', path, body };
}

function machineConfiguration(spec: ResolvedVmSpec): wire.MachineConfiguration {
  return withoutUndefined({
    vcpu_count: spec.vcpuCount,
    mem_size_mib: spec.memSizeMib,
    smt: spec.smt,
    cpu_template: spec.cpuTemplate,
    track_dirty_pages: spec.trackDirtyPages,
    huge_pages: spec.hugePages,
  });
}

function bootSource({ files, bootArgs }: ConfigurationInput): wire.BootSource {
  return withoutUndefined({
    kernel_image_path: files.kernel,
    initrd_path: files.initrd,
    boot_args: bootArgs,
  });
}

// The guest numbers its disks in the order of these requests: they go out one after the other over one
// connection.
function driveRequests(spec: ResolvedVmSpec, files: VmmFiles): wire.ApiRequest[] {
  const specs = [{ driveId: ROOT_DRIVE_ID, ...spec.rootDrive }, ...(spec.drives ?? [])];
  return files.drives.map(({ driveId, path, readOnly }, index) => {
    const tuning = specs.find((drive) => drive.driveId === driveId);
    // With an initrd it is that which mounts the disks: a root device would add `root=` to the kernel's
    // arguments.
    const isRoot = index === 0 && driveId === ROOT_DRIVE_ID && spec.rootDrive !== undefined;
    const drive: wire.Drive = withoutUndefined({
      drive_id: driveId,
      path_on_host: path,
      is_root_device: isRoot && spec.initrdPath === undefined,
      is_read_only: readOnly,
      // Firecracker's own default gives the guest no flush at all: what its programs have synced is lost with
      // the host's power.
      cache_type: tuning?.cacheType ?? (readOnly ? undefined : 'Writeback'),
      io_engine: tuning?.ioEngine,
      rate_limiter: rateLimiter(tuning?.rateLimiter),
    });
    return put(`/drives/${driveId}`, drive);
  });
}

function networkInterface(
  nic: NonNullable<ResolvedVmSpec['networkInterfaces']>[number],
): wire.NetworkInterface {
  return withoutUndefined({
    iface_id: nic.ifaceId,
    host_dev_name: nic.hostDevName ?? '',
    guest_mac: nic.guestMac,
    mtu: nic.mtu,
    rx_rate_limiter: rateLimiter(nic.rxRateLimiter),
    tx_rate_limiter: rateLimiter(nic.txRateLimiter),
  });
}

function balloonDevice(balloon: NonNullable<ResolvedVmSpec['balloon']>): wire.Balloon {
  return withoutUndefined({
    amount_mib: balloon.amountMib,
    deflate_on_oom: balloon.deflateOnOom ?? true,
    stats_polling_interval_s: balloon.statsPollingIntervalS,
    free_page_reporting: balloon.freePageReporting,
  });
}

function serialRequests({ serial }: ResolvedVmSpec): wire.ApiRequest[] {
  const bucket = tokenBucket(serial?.rateLimiter?.bandwidth);
  return bucket === undefined ? [] : [put('/serial', { rate_limiter: bucket } satisfies wire.Serial)];
}

function mmdsRequests(mmds: NonNullable<ResolvedVmSpec['mmds']>): wire.ApiRequest[] {
  const config: wire.MmdsConfig = withoutUndefined({
    version: mmds.version ?? 'V2',
    network_interfaces: mmds.networkInterfaces,
    ipv4_address: mmds.ipv4Address,
  });
  return [put('/mmds/config', config), ...(mmds.data === undefined ? [] : [put('/mmds', mmds.data)])];
}

function rateLimiter(limiter: SpecRateLimiter | undefined): wire.RateLimiter | undefined {
  if (limiter === undefined) return undefined;
  return withoutUndefined({ bandwidth: tokenBucket(limiter.bandwidth), ops: tokenBucket(limiter.ops) });
}

function tokenBucket(bucket: SpecBucket | undefined): wire.TokenBucket | undefined {
  if (bucket === undefined) return undefined;
  return withoutUndefined({
    size: bucket.size,
    one_time_burst: bucket.oneTimeBurst,
    refill_time: bucket.refillTimeMs,
  });
}
