import { unsupported, type VmRuntimeError } from '@microvm/runtime';

interface Availability {
  /** The first release that has it, or has it whole. */
  readonly since: string;
  /** The feature was sound before this release too, and broken only from this release up to `since`. */
  readonly brokenFrom?: string;
  /** A build before that release with the release's number, such as `1.17.0-dev`, may lack the feature. */
  readonly isReleaseOnly?: boolean;
}

/** Features that not every release from 1.13 on has, by Firecracker's own changelog. */
const FEATURES = {
  'free-page-reporting': { since: '1.14.0' },
  'serial-rate-limiter': { since: '1.16.0' },
  mtu: { since: '1.16.0' },
  // A resume armed a gate before what the guest's vsock receives, which only a guest that was restored ever
  // opened again.
  'vsock-pause': { brokenFrom: '1.16.0', since: '1.16.2' },
  // KVM tells some registers only after the guest's CPUID since Linux 6.13; read too early they are zero,
  // eIBRS among them.
  'cpu-templates-on-linux-6.13': { since: '1.16.2' },
  'bzimage-kernel': { since: '1.17.0' },
  // `sync_snapshot_files` of snapshot/create (pull request 6109), which came in the last days before 1.17.0.
  'unsynced-dump': { since: '1.17.0', isReleaseOnly: true },
} as const satisfies Record<string, Availability>;

export type VersionedFeature = keyof typeof FEATURES;

/** The oldest release that the driver speaks to, and the releases that the suite has run on. */
export const OLDEST_VERSION = '1.13.0';
export const TESTED_RELEASES: readonly string[] = ['1.17'];

/** A Firecracker's version: `1.17.0-dev` counts as 1.17.0. */
export class VmmVersion {
  readonly text: string;
  readonly #parts: readonly number[];

  private constructor(text: string, parts: readonly number[]) {
    this.text = text;
    this.#parts = parts;
  }

  /** Reads `1.17.0-dev`, also as part of `Firecracker v1.17.0-dev`; undefined where there is no version. */
  static find(text: string): VmmVersion | undefined {
    const match = /(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?/.exec(text);
    return match === null ? undefined : new VmmVersion(match[0], match.slice(1, 4).map(Number));
  }

  /** `1.17`. */
  get release(): string {
    return this.#parts.slice(0, 2).join('.');
  }

  isAtLeast(version: string): boolean {
    const wanted = version.split('.').map(Number);
    const index = wanted.findIndex((part, position) => part !== this.#parts[position]);
    return index < 0 || (this.#parts[index] ?? 0) > (wanted[index] ?? 0);
  }

  supports(feature: VersionedFeature): boolean {
    const { since, brokenFrom, isReleaseOnly = false }: Availability = FEATURES[feature];
    if (isReleaseOnly && this.text.startsWith(`${since}-`)) return false;
    return this.isAtLeast(since) || (brokenFrom !== undefined && !this.isAtLeast(brokenFrom));
  }

  /** The error of asking for what this binary lacks: it names the versions that have it. */
  lacks(feature: VersionedFeature, what: string): VmRuntimeError {
    const { since, brokenFrom }: Availability = FEATURES[feature];
    const older = brokenFrom === undefined ? '' : ` or one before ${brokenFrom}`;
    return unsupported(what, `Firecracker ${since}${older}, this is ${this.text}`);
  }
}
