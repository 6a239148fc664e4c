import { Counter, Gauge, type Registry } from 'prom-client';

/** One value, of a VM or of a part of it. */
export interface Figure {
  readonly kind: 'counter' | 'gauge';
  readonly name: string;
  readonly help: string;
  readonly value: number | undefined;
  /** Beside the VM's own: which part of it. */
  readonly labels?: Readonly<Record<string, string>>;
}

export const US_PER_SECOND = 1e6;

/** Puts the figures of one VM into a registry, beside those of others. */
export function addFigures(
  registry: Registry,
  ofVm: Readonly<Record<string, string>>,
  figures: readonly Figure[],
): void {
  const taken = new Set<string>();
  for (const { kind, name, help, value, labels: ofPart = {} } of figures) {
    const id = JSON.stringify([name, ofPart]);
    // Two of the VMM's names can come to one of ours: the first has it.
    if (value === undefined || taken.has(id)) continue;
    taken.add(id);
    const labels = { ...ofVm, ...ofPart };
    const known = registry.getSingleMetric(name);
    const options = { name, help, labelNames: Object.keys(labels), registers: [registry] };
    // What one VMM counts another may call a value: only one kind can have the name.
    if (kind === 'counter') {
      const counter = known ?? new Counter(options);
      if (counter instanceof Counter) counter.inc(labels, value);
    } else {
      const gauge = known ?? new Gauge(options);
      if (gauge instanceof Gauge) gauge.set(labels, value);
    }
  }
}
