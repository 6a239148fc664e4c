/** One fact about the host that matters, with what can be done about it. */
export interface HostFinding {
  /** Stable, kebab-case, such as `kvm-cannot-run-linux`. */
  readonly code: string;
  /** `error`: the driver cannot work here. `warning`: it works, with less. `info`: good to know. */
  readonly severity: 'error' | 'warning' | 'info';
  readonly message: string;
  /** What a person can do; absent where nothing needs doing. */
  readonly remedy?: string;
}

/** What `probe()` found: can VMs run here, and if not, why not. */
export interface HostReport {
  readonly driver: string;
  /** False exactly when a finding is an `error`. */
  readonly usable: boolean;
  /** What executes guest code: `kvm`, `tcg` (QEMU's emulation), `none` (no real guest). */
  readonly accelerator: 'kvm' | 'tcg' | 'none';
  /** Version of the VMM, where there is one. */
  readonly vmmVersion?: string;
  readonly findings: readonly HostFinding[];
}
