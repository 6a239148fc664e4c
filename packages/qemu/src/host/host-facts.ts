/** What executes guest code. */
export type Accelerator = 'kvm' | 'tcg';

/** What was found out about the host when the runtime was opened; it holds for the runtime's life. */
export interface HostFacts {
  /** Absolute. */
  readonly qemuPath: string;
  readonly qemuVersion: string;
  readonly accelerator: Accelerator;
  readonly tscKhz: number | undefined;
  /** Names the processor as a guest sees it that runs on it directly. */
  readonly cpuFingerprint: string;
}

/** QEMU's stable releases load each other's states; others do not promise it. */
export function releaseOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}
