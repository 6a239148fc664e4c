/** A file system of the guest that lies on a block device, in bytes. */
export interface GuestFileSystem {
  /** Where it is mounted in the guest. */
  readonly path: string;
  /** As the guest's mount table names it: `ext4`, `xfs` … */
  readonly type: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** What a user other than root may still write. */
  readonly availableBytes: number;
}

/** A block device of the guest, as its /proc/diskstats counts it since the boot. */
export interface GuestDiskMetrics {
  /** The kernel's name, such as `vda`. */
  readonly name: string;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly readCount: number;
  readonly writeCount: number;
}

/**
 * What the guest's kernel counts, as its agent reads it from /proc. The guest can say anything here: these
 * are figures to show, not to bill by; `VmRuntime.metricsVm` has what the host counts.
 */
export interface GuestMetrics {
  /** Since the boot; a restored guest goes on from its snapshot's. */
  readonly uptimeMs: number;
  /** Processes that run or wait for a disk, on average over 1, 5 and 15 minutes. */
  readonly load: readonly [number, number, number];
  readonly processCount: number;
  readonly threadCount: number;
  readonly cpu: {
    readonly count: number;
    /** Microseconds of all processors since the boot, in steps of the kernel's clock tick (10 ms). */
    readonly userUs: number;
    readonly systemUs: number;
    readonly idleUs: number;
  };
  /** Bytes, as /proc/meminfo has them. */
  readonly memory: {
    readonly totalBytes: number;
    readonly freeBytes: number;
    /** What programs can still have without swapping. */
    readonly availableBytes: number;
    readonly swapTotalBytes: number;
    readonly swapFreeBytes: number;
  };
  /** At most 32, those of the network and of FUSE left out. */
  readonly fileSystems: readonly GuestFileSystem[];
  /** At most 32 that were used. */
  readonly disks: readonly GuestDiskMetrics[];
}
