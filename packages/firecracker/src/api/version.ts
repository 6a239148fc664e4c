import { unsupported, type VmRuntimeError } from '@microvm/runtime';

/**
 * What came, or was mended, after 1.13, by the release that has it (Firecracker's release notes and issues). Of vsock: until 1.16.1
 * connections hung after a restore, and until 1.17 they could stall after a pause, which every snapshot with memory begins with.
 */
const SINCE = {
  'serial-rate-limiter': '1.16.0',
  mtu: '1.16.0',
  'vsock-pause': '1.17.0',
  'bzimage-kernel': '1.17.0',
} as const;

export type VersionedFeature = keyof typeof SINCE;

/** The oldest release that the driver speaks to, and the ones that the suite has run on. */
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
    return this.isAtLeast(SINCE[feature]);
  }

  /** The error of asking for what this binary lacks: it names the version that has it. */
  lacks(feature: VersionedFeature, what: string): VmRuntimeError {
    return unsupported(what, `Firecracker ${SINCE[feature]}, this is ${this.text}`);
  }
}
