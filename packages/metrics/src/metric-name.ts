/** A figure as Prometheus has it: base units only, the unit in the name. */
export interface PrometheusMetric {
  readonly name: string;
  /** What a value is divided by. */
  readonly divisor: number;
}

const UNITS = { us: 1e6, ms: 1e3 } as const;

/**
 * `block.read_bytes` → `microvm_vmm_block_read_bytes_total`, `vcpu.exit_io_in_agg.sum_us` →
 * `microvm_vmm_vcpu_exit_io_in_agg_sum_seconds_total`, `latencies_us.pause_vm` →
 * `microvm_vmm_latencies_pause_vm_seconds`. The names are the VMM's to choose: what Prometheus does not allow
 * is replaced.
 */
export function metricOf(vmmName: string, kind: 'counter' | 'gauge'): PrometheusMetric {
  const words = vmmName.replace(/[^A-Za-z0-9_.]/g, '_').split('.');
  const unit = words.map((word) => /_(us|ms)$/.exec(word)?.[1]).find((found) => found !== undefined);
  const plain = words.map((word) => word.replace(/_(us|ms|count)$/, '')).join('_');
  const name = `microvm_vmm_${plain}${unit === undefined ? '' : '_seconds'}${kind === 'counter' ? '_total' : ''}`;
  return { name, divisor: unit === undefined ? 1 : UNITS[unit as keyof typeof UNITS] };
}
