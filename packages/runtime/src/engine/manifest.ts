import { z } from 'zod';
import { MAX_SECRETS } from '../contract/secrets.js';
import { brokenRule } from '../contract/spec.js';
import type { SnapshotView } from '../contract/views.js';
import type { JsonObject } from '../ports/driver.js';
import { portableSpecSchema } from './portable-spec.js';
import { imageProblem, vmImageSchema } from './vm-image.js';

/**
 * Raise this number with every change of what a manifest says; `read-manifest.ts` reads the older formats.
 */
export const MANIFEST_FORMAT = 4;

const count = z.int().nonnegative();
const hex32 = z.string().regex(/^[0-9a-f]{32}$/, '32 lower-case hex digits');
const callersId = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/, '1 to 64 of [A-Za-z0-9._-]');
const shortText = z.string().min(1).max(256);

const pinnedFile = z.strictObject({
  sizeBytes: count,
  /** Root over the SHA-256 of each 4 MiB chunk, in hex. */
  digest: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex'),
});

/** A file that is pinned by its content. */
export type PinnedFile = Readonly<z.infer<typeof pinnedFile>>;

/**
 * The files that a VM only reads, by the field of the spec that named them: `kernel`, `initrd`, `rootDrive`,
 * `drives.<id>`.
 */
export const pinnedFilesSchema = z.record(
  z.string().regex(/^(kernel|initrd|rootDrive|drives\.[A-Za-z0-9_]{1,64})$/, 'the name of a pinned file'),
  pinnedFile,
);

export type PinnedFiles = Readonly<Record<string, PinnedFile>>;

const part = pinnedFile.extend({
  /** A plain file name: it is joined to the snapshot's folder and must not leave it. */
  name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'a plain file name'),
  role: z.enum(['memory', 'vmstate', 'disk', 'kernel', 'initrd']),
  /** What the file takes on disk, in bytes; less than its size where the file has holes. */
  allocatedBytes: count,
});

/** One file of a snapshot. */
export type ManifestPart = Readonly<z.infer<typeof part>>;

export const manifestSchema = z
  .strictObject({
    format: z.literal(MANIFEST_FORMAT),
    snapshotUid: hex32,
    snapshotId: callersId,
    instanceId: hex32,
    kind: z.enum(['memory', 'disk']),
    createdAt: z.iso.datetime(),
    pausedMs: z.number().nonnegative(),
    diskCopy: z.enum(['reflink', 'copy', 'none']),
    driver: shortText,
    vmmVersion: shortText,
    /** The driver's own; it checks what it reads. */
    compatibility: z.custom<JsonObject>(isJsonObject, 'a JSON object'),
    /** The captured VM's own, without what belongs to its host. */
    spec: portableSpecSchema,
    /** Names of the secrets that its memory holds; taken with `allowSecrets`. */
    secrets: z.array(shortText).max(MAX_SECRETS).readonly().optional(),
    /** Files outside the snapshot that its guest reads; a cold boot needs kernel and initrd. */
    pinned: pinnedFilesSchema,
    /** What the name in `spec.image` stood for when the captured VM was created. */
    image: vmImageSchema.optional(),
    parts: z.array(part).max(64).readonly(),
  })
  .refine(({ parts }) => new Set(parts.map(({ name }) => name)).size === parts.length, {
    path: ['parts'],
    message: 'names that differ',
  });

/**
 * Everything a snapshot is, so that a restore can be judged before any process is started. It holds no vmId:
 * VMs are renamed.
 */
export type SnapshotManifest = Readonly<z.infer<typeof manifestSchema>>;

export function snapshotView(manifest: SnapshotManifest): SnapshotView {
  const { snapshotUid, snapshotId, instanceId, kind, createdAt, pausedMs, diskCopy, driver, vmmVersion } =
    manifest;
  const sizeBytes = manifest.parts.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
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

/**
 * Says what is wrong with the spec of a manifest beyond the shape of its fields; undefined when it can be
 * used.
 */
export function specProblem({ spec, image }: SnapshotManifest): string | undefined {
  const broken = brokenRule(spec);
  return broken === undefined
    ? imageProblem({ spec, image })
    : `spec.${broken.path}: must be ${broken.expected}`;
}

function isJsonObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
