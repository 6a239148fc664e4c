import { MIB } from '../contract/units.js';
import { resolveVmSpec, vmSpecSchema } from '../contract/spec.js';
import { describeIssue } from './describe-issue.js';
import { MANIFEST_FORMAT, manifestSchema, specProblem, type SnapshotManifest } from './manifest.js';
import { portableSpec } from './portable-spec.js';

/** No manifest of this program is longer; a longer file is not read. */
export const MANIFEST_MAX_BYTES = 8 * MIB;

/** A manifest that was read, or what is wrong with it. */
export type ManifestRead =
  | { readonly manifest: SnapshotManifest; readonly problem?: undefined }
  | { readonly manifest?: undefined; readonly problem: string };

/**
 * Judges what a manifest's file held. The file may come from anywhere: nothing in it is believed before it is
 * checked.
 */
export function readManifest(value: unknown, folder: string): ManifestRead {
  const current = converted(value);
  const format = formatOf(current);
  if (format !== MANIFEST_FORMAT) {
    return { problem: `format ${shown(format)}, this version reads 1 to ${MANIFEST_FORMAT}` };
  }
  const parsed = manifestSchema.safeParse(current);
  if (!parsed.success) return { problem: describeIssue(parsed.error) };
  const manifest = parsed.data;
  if (manifest.snapshotUid !== folder) return { problem: 'its snapshotUid is not the name of its folder' };
  const problem = specProblem(manifest);
  return problem === undefined ? { manifest } : { problem };
}

function converted(value: unknown): unknown {
  switch (formatOf(value)) {
    case 1:
      return fromFormat1(value);
    case 2:
      // Format 2 had neither environment nor secrets: its guests have none.
      return { ...(value as object), format: MANIFEST_FORMAT };
    case 3:
      // Format 3 had no images: its guests have none.
      return { ...(value as object), format: MANIFEST_FORMAT };
    default:
      return value;
  }
}

/**
 * Format 1 held the paths, limits and the jail of the host it was taken on, and shared drives by path and
 * time alone. What belongs to the host is left out. A shared drive of such a snapshot is not pinned, so that
 * its restore asks the caller for the file.
 */
function fromFormat1(value: unknown): unknown {
  const { spec, compatibility, ...rest } = value as Record<string, unknown>;
  const parsed = vmSpecSchema.safeParse(spec);
  if (!parsed.success) return { ...rest, spec, compatibility, format: MANIFEST_FORMAT };
  const { sharedDrives: _byPath, ...machine } = Object(compatibility) as Record<string, unknown>;
  return {
    ...rest,
    format: MANIFEST_FORMAT,
    spec: portableSpec(resolveVmSpec(parsed.data, {})),
    compatibility: machine,
  };
}

function formatOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as { readonly format?: unknown }).format;
}

function shown(format: unknown): string {
  return typeof format === 'number' ? String(format) : 'missing or no number';
}
