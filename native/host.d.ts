/** Something that a feature needs and this host has not, or has not well. */
export interface HostFinding {
  readonly code: HostFindingCode;
  /** What does without it, or does it worse. */
  readonly feature: HostFeature;
  readonly message: string;
  readonly remedy: string;
}

export type HostFeature =
  | 'jail'
  | 'limits'
  | 'network'
  | 'firewall'
  | 'memory-backend'
  | 'huge-pages'
  | 'snapshots'
  | 'copies'
  | 'state';

export type HostFindingCode =
  | 'CGROUP_V2_MISSING'
  | 'CGROUP_NOT_WRITABLE'
  | 'CGROUP_KILL_MISSING'
  | 'CGROUP_OCCUPIED'
  | 'CGROUP_CONTROLLER_MISSING'
  | 'NAMESPACE_MISSING'
  | 'NAMESPACE_REFUSED'
  | 'NFTABLES_MISSING'
  | 'NFTABLES_REFUSED'
  | 'TUN_MISSING'
  | 'TUN_REFUSED'
  | 'USERFAULTFD_MISSING'
  | 'USERFAULTFD_REFUSED'
  | 'HUGE_PAGES_NONE'
  | 'SWAP_ON'
  | 'PATH_UNUSABLE'
  | 'PATH_NOT_WRITABLE'
  | 'PATH_NO_REFLINK'
  | 'PATH_IN_MEMORY'
  | 'PATH_MOUNT_OPTIONS'
  | 'PATH_LITTLE_SPACE';

export interface HostCgroups {
  /** `hybrid`: version 2 is mounted beside version 1, which has the controllers. */
  readonly version: 'none' | 'v1' | 'hybrid' | 'v2';
  /** What version 1 has taken. */
  readonly v1Controllers: readonly string[];
  /** Where version 2 is mounted; null: nowhere. */
  readonly mount: string | null;
  /** The cgroup of this process, as in `/proc/self/cgroup`. */
  readonly own: string | null;
  /** The cgroup in which we can make others: the root of the hierarchy, else our own; null: neither. */
  readonly base: string | null;
  /** Why there is no base, such as `EACCES`. */
  readonly baseError: string | null;
  /** The controllers whose limits a cgroup in the base can have, unless `isOccupied`. */
  readonly controllers: readonly string[];
  /** The base has processes of its own: cgroups in it can have no limits until these have left. */
  readonly isOccupied: boolean;
  /** Whether cgroups have `cgroup.kill` (Linux 5.14). */
  readonly hasKill: boolean;
}

export interface HostPath {
  readonly path: string;
  /** Why nothing could be learned, such as `ENOENT`; the rest says nothing then. */
  readonly error: string | null;
  /** `ext4`, `xfs`, `btrfs`, `tmpfs`…, else the number by which the kernel knows it. */
  readonly fileSystem: string | null;
  /** Hard links and reflinks work between folders with the same number only. */
  readonly deviceId: number;
  readonly totalBytes: number;
  /** For us: without what is set aside for root. */
  readonly availableBytes: number;
  readonly isInMemory: boolean;
  /** False: mounted with `nodev`. */
  readonly hasDevices: boolean;
  /** False: mounted with `noexec`. */
  readonly hasExecutables: boolean;
  /** Why no file can be made, such as `EROFS`. */
  readonly writeError: string | null;
  /** By having made one. */
  readonly hasReflink: boolean;
}

export interface HostReport {
  /** What is missing or bad, and what to do about it. */
  readonly findings: readonly HostFinding[];
  /** The kernel's release, such as `6.1.0-38-amd64`. */
  readonly kernel: string;
  readonly cgroup: HostCgroups;
  /** Why one cannot be made, such as `EPERM`; `ENOENT`: the kernel has none; null: it can. By having made one. */
  readonly namespaceErrors: Readonly<
    Record<'network' | 'mount' | 'pid' | 'user' | 'uts' | 'ipc' | 'cgroup', string | null>
  >;
  /** What nf_tables in the kernel answered; null: it is there and we may use it. */
  readonly nftablesError: string | null;
  /** Why `/dev/net/tun` cannot be used for TAP devices; null: it can be opened. */
  readonly tunError: string | null;
  readonly userfaultfd: {
    /** Why faults inside the kernel (as KVM makes them) cannot be handled; null: they can. */
    readonly error: string | null;
    readonly bySyscall: boolean;
    /** By `/dev/userfaultfd` (Linux 6.1). */
    readonly byDevice: boolean;
  };
  readonly memory: {
    readonly totalBytes: number;
    readonly availableBytes: number;
    readonly swapTotalBytes: number;
    readonly swapFreeBytes: number;
    /** Of each size that the processor has; `total` are set aside. */
    readonly hugePages: readonly {
      readonly pageBytes: number;
      readonly total: number;
      readonly free: number;
    }[];
  };
  /** In the order asked for. */
  readonly paths: readonly HostPath[];
}

export interface ProbeHostOptions {
  /** Folders to look at: their file system, its space, reflinks. Default none. */
  readonly paths?: readonly string[];
  /** Aborting rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Finds out what this host can do, by doing it: makes (and removes) a cgroup, namespaces, files. Changes nothing. Whether
 * KVM works is for {@link probeKvm}. On a thread of its own, some 20 ms. What is missing is a finding, not an error.
 */
export function probeHost(options?: ProbeHostOptions): Promise<HostReport>;
