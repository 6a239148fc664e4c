import type { ResolvedVmSpec } from '../contract/spec.js';
import type { SnapshotView } from '../contract/views.js';
import type { JsonObject, SnapshotPart } from '../ports/driver.js';

export const MANIFEST_FORMAT = 1;

/** A file that a snapshot depends on or consists of, pinned by content. */
export interface PinnedFile {
  readonly sizeBytes: number;
  /** Root over the SHA-256 of each 4 MiB chunk, in hex. */
  readonly digest: string;
}

export interface ManifestPart extends SnapshotPart, PinnedFile {
  /** What the file takes on disk; less than its size where it has holes. */
  readonly allocatedBytes: number;
}

/** Everything a snapshot is, so that a restore can be judged before any process is started. It holds no vmId: VMs are renamed. */
export interface SnapshotManifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly snapshotUid: string;
  readonly snapshotId: string;
  readonly instanceId: string;
  readonly kind: SnapshotView['kind'];
  readonly createdAt: string;
  readonly pausedMs: number;
  readonly diskCopy: SnapshotView['diskCopy'];
  readonly driver: string;
  readonly vmmVersion: string;
  readonly compatibility: JsonObject;
  /** The captured VM's own. */
  readonly spec: ResolvedVmSpec;
  /** Files outside the snapshot that a cold boot of it needs. */
  readonly pinned: { readonly kernel?: PinnedFile; readonly initrd?: PinnedFile };
  readonly parts: readonly ManifestPart[];
}

export function snapshotView(manifest: SnapshotManifest): SnapshotView {
  const { snapshotUid, snapshotId, instanceId, kind, createdAt, pausedMs, diskCopy, driver, vmmVersion } =
    manifest;
  const sizeBytes = manifest.parts.reduce((sum, part) => sum + part.allocatedBytes, 0);
  return {
    snapshotUid,
    snapshotId,
    instanceId,
    kind,
    createdAt,
    sizeBytes,
    pausedMs,
    diskCopy,
    driver,
    vmmVersion,
  };
}

/** Says what is wrong with a manifest that was read; undefined when it can be used. */
export function manifestProblem(value: unknown, folder: string): string | undefined {
  if (typeof value !== 'object' || value === null) return 'not a JSON object';
  const manifest = value as Partial<SnapshotManifest>;
  if (manifest.format !== MANIFEST_FORMAT) {
    return `format ${String(manifest.format)}, this version reads ${MANIFEST_FORMAT}`;
  }
  if (manifest.snapshotUid !== folder)
    return `snapshotUid "${String(manifest.snapshotUid)}" in folder "${folder}"`;
  if (typeof manifest.snapshotId !== 'string' || typeof manifest.instanceId !== 'string') return 'no names';
  if (typeof manifest.createdAt !== 'string' || typeof manifest.spec !== 'object')
    return 'no createdAt or spec';
  if (!Array.isArray(manifest.parts)) return 'no parts';
  if (manifest.parts.some((part: ManifestPart) => !isPlainName(part.name)))
    return 'a part with an unusable name';
  return undefined;
}

// A manifest may come from elsewhere: its names are joined to a folder and must not leave it.
function isPlainName(name: unknown): boolean {
  return (
    typeof name === 'string' &&
    name.split('/').every((step) => step !== '' && step !== '.' && step !== '..') &&
    !name.includes('\0')
  );
}
