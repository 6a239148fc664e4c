/*
 * Firecracker's API as it goes over the wire: names, units and defaults are Firecracker's own (its swagger
 * file, 1.17). An object with a field that the binary does not know is refused by it as a whole, so nothing
 * is sent that was not asked for.
 */

export interface TokenBucket {
  readonly size: number;
  readonly one_time_burst?: number;
  readonly refill_time: number;
}

export interface RateLimiter {
  readonly bandwidth?: TokenBucket;
  readonly ops?: TokenBucket;
}

export interface MachineConfiguration {
  readonly vcpu_count: number;
  readonly mem_size_mib: number;
  readonly smt?: boolean;
  readonly cpu_template?: string;
  readonly track_dirty_pages?: boolean;
  readonly huge_pages?: 'None' | '2M';
}

export interface BootSource {
  readonly kernel_image_path: string;
  readonly initrd_path?: string;
  readonly boot_args?: string;
}

export interface Drive {
  readonly drive_id: string;
  readonly path_on_host: string;
  readonly is_root_device: boolean;
  readonly is_read_only: boolean;
  readonly cache_type?: 'Unsafe' | 'Writeback';
  readonly io_engine?: 'Sync' | 'Async';
  readonly rate_limiter?: RateLimiter;
}

export interface NetworkInterface {
  readonly iface_id: string;
  readonly host_dev_name: string;
  readonly guest_mac?: string;
  readonly mtu?: number;
  readonly rx_rate_limiter?: RateLimiter;
  readonly tx_rate_limiter?: RateLimiter;
}

export interface Vsock {
  readonly guest_cid: number;
  readonly uds_path: string;
}

export interface Balloon {
  readonly amount_mib: number;
  readonly deflate_on_oom: boolean;
  readonly stats_polling_interval_s?: number;
  readonly free_page_reporting?: boolean;
}

export interface MmdsConfig {
  readonly version: 'V1' | 'V2';
  readonly network_interfaces: readonly string[];
  readonly ipv4_address?: string;
}

export interface Serial {
  readonly rate_limiter: TokenBucket;
}

export interface SnapshotCreate {
  readonly snapshot_type: 'Full';
  readonly snapshot_path: string;
  readonly mem_file_path: string;
  readonly sync_snapshot_files?: boolean;
}

export interface SnapshotLoad {
  readonly snapshot_path: string;
  readonly mem_backend: { readonly backend_type: 'File'; readonly backend_path: string };
  readonly track_dirty_pages?: boolean;
  readonly resume_vm: boolean;
  readonly network_overrides?: readonly { readonly iface_id: string; readonly host_dev_name: string }[];
}

export type ActionType = 'InstanceStart' | 'FlushMetrics' | 'SendCtrlAltDel';

export const INSTANCE_STATES = ['Not started', 'Running', 'Paused'] as const;

/** The part of the answer to `GET /` that the driver reads. */
export interface InstanceInfo {
  readonly state: (typeof INSTANCE_STATES)[number];
}

/** One request: its body is one of the objects above. */
export interface ApiRequest {
  readonly method: 'GET' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly body?: unknown;
}
