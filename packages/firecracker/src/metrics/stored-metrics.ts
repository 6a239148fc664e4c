/**
 * The metrics that are no counters: what Firecracker 1.17 declares as `SharedStoreMetric`
 * (src/vmm/src/logger/metrics.rs and src/vmm/src/devices/virtio/vhost_user_metrics.rs), and the time of the
 * line. A line has their value as it is; of all others what was added since the line before
 * (`SharedIncMetric`, reset as it is written).
 */
const STORED: readonly RegExp[] = [
  /^utc_timestamp_ms$/,
  /^api_server\.process_startup_time(_cpu)?_us$/,
  // PerformanceMetrics: how long the last snapshot, load, pause and resume took.
  /^latencies_us\./,
  /^seccomp\.num_faults$/,
  /^vmm\.panic_count$/,
  // All of SignalMetrics but sigpipe.
  /^signals\.(sigbus|sigsegv|sigxfsz|sigxcpu|sighup|sigill)$/,
  // LatencyAggregateMetrics; its `sum_us` is a counter.
  /\.(min|max)_us$/,
  /^vhost_user_\w+\.(init|activate|config_change)_time_us$/,
];

/** Whether a metric is a present value and not a count. */
export function isStored(name: string): boolean {
  return STORED.some((pattern) => pattern.test(name));
}
