import type { VmmMetrics } from '@microvm/runtime';
import { isStored } from './stored-metrics.js';

// `vcpu.exit_io_in_agg.sum_us` is the deepest that there is.
const MAX_DEPTH = 3;
// Some 260 with the usual devices, and some 30 for each further one.
const MAX_NAMES = 4096;
const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

/**
 * The totals of Firecracker's lines of metrics, by Firecracker's names such as `block.read_bytes`. The VMM
 * writes the lines, so nothing in them is trusted: a value that is not a whole number from 0 up under a plain
 * name is skipped, and the number of names is bounded. Never throws.
 */
export class MetricsTotals {
  readonly #counters: Map<string, number>;
  readonly #gauges: Map<string, number>;

  constructor({ counters, gauges }: VmmMetrics = { counters: {}, gauges: {} }) {
    this.#counters = new Map(Object.entries(counters));
    this.#gauges = new Map(Object.entries(gauges));
  }

  get figures(): VmmMetrics {
    return { counters: Object.fromEntries(this.#counters), gauges: Object.fromEntries(this.#gauges) };
  }

  addLine(line: string): void {
    for (const [name, value] of figuresIn(parse(line), '', MAX_DEPTH)) {
      if (isStored(name)) this.#set(this.#gauges, name, value);
      else this.#set(this.#counters, name, (this.#counters.get(name) ?? 0) + value);
    }
  }

  #set(figures: Map<string, number>, name: string, value: number): void {
    if (!figures.has(name) && this.#counters.size + this.#gauges.size >= MAX_NAMES) return;
    figures.set(name, Math.min(value, Number.MAX_SAFE_INTEGER));
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    // Cut off by the VMM's end, or never meant well.
    return undefined;
  }
}

function* figuresIn(value: unknown, prefix: string, depth: number): Generator<readonly [string, number]> {
  if (typeof value !== 'object' || value === null || depth === 0) return;
  for (const [key, inner] of Object.entries(value)) {
    if (!NAME.test(key)) continue;
    if (typeof inner === 'object') yield* figuresIn(inner, `${prefix}${key}.`, depth - 1);
    else if (Number.isSafeInteger(inner) && inner >= 0) yield [`${prefix}${key}`, inner as number];
  }
}
