import {
  NOTHING_SWEPT,
  type Adoption,
  type HostReport,
  type Sweep,
  type VmDriver,
  type VmEnding,
} from '@microvm/runtime';

const POWERED_OFF: VmEnding = { reason: 'shutdown', exitCode: 0, signal: null, lastLogLines: [] };

/**
 * A driver that succeeds at once and writes nothing: every durable change that is left is the engine's own.
 * (The in-memory driver keeps disks and consoles in files when there is a state directory.)
 */
export class NullDriver implements VmDriver {
  readonly name = 'null';
  readonly steps: readonly string[] = [];
  readonly support = { limits: { maxVcpuCount: 32, maxMemSizeMib: 2 ** 20 } };

  async open(): Promise<Sweep> {
    return NOTHING_SWEPT;
  }
  async probe(): Promise<HostReport> {
    return { driver: this.name, usable: true, accelerator: 'none', findings: [] };
  }
  async checkSpec(): Promise<void> {}
  plan(): Record<string, never> {
    return {};
  }
  async prepare(): Promise<Record<string, never>> {
    return {};
  }
  async boot(): Promise<Record<string, never>> {
    return {};
  }
  async shutdown(): Promise<VmEnding> {
    return POWERED_OFF;
  }
  async halt(): Promise<void> {}
  async release(): Promise<readonly string[]> {
    return [];
  }
  async survey(): Promise<ReadonlySet<string>> {
    return new Set();
  }
  async adopt(): Promise<Adoption> {
    return { state: 'ended', ending: POWERED_OFF };
  }
  async close(): Promise<void> {}
}
