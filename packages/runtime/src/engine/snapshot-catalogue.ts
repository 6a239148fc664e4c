import assert from 'node:assert';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MIB } from '../contract/units.js';
import { VmRuntimeError } from '../contract/errors.js';
import type { HostCalls } from '../ports/host-calls.js';
import type { ManifestPart, SnapshotManifest } from './manifest.js';
import { readJson } from './read-json.js';
import type { StateStore } from './state-store.js';

/** Kept beside the manifest: which files were read whole, and found right, since this host booted. */
const SEAL = 'verified.json';

type CatalogueCalls = Pick<HostCalls, 'bootId' | 'digestFile' | 'writeDurable'>;

const SEAL_MAX_BYTES = MIB;
const sealSchema = z.strictObject({ bootId: z.string(), files: z.array(z.string()) });

/** Every published snapshot, by uid and by the VM it was taken of. */
export class SnapshotCatalogue {
  readonly #store: StateStore;
  readonly #hostCalls: CatalogueCalls | undefined;
  readonly #bootId: string;
  readonly #manifests = new Map<string, SnapshotManifest>();
  readonly #byInstance = new Map<string, readonly SnapshotManifest[]>();
  readonly #corrupt = new Map<string, string>();
  readonly #holds = new Map<string, number>();
  /** Their files are being removed: nobody finds them any more. */
  readonly #leaving = new Set<string>();
  /** The files of the seals that this process has written or read: a burst of restores reads each once. */
  readonly #sealed = new Map<string, string>();

  /** Without a host nothing is kept in files, and nothing digested. */
  constructor(store: StateStore, hostCalls: CatalogueCalls | undefined) {
    this.#store = store;
    this.#hostCalls = hostCalls;
    this.#bootId = hostCalls?.bootId() ?? '';
  }

  async digest(path: string, signal: AbortSignal): Promise<string> {
    assert(this.#hostCalls !== undefined, 'a catalogue of files has the calls of the host');
    return (await this.#hostCalls.digestFile(path, { signal })).root;
  }

  load(
    manifests: readonly SnapshotManifest[],
    corrupt: readonly { snapshotUid: string; problem: string }[],
  ): void {
    const ordered = [...manifests].sort((a, b) =>
      a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : 0,
    );
    for (const manifest of ordered) this.#add(manifest);
    for (const { snapshotUid, problem } of corrupt) this.#corrupt.set(snapshotUid, problem);
  }

  get(snapshotUid: string): SnapshotManifest | undefined {
    return this.#leaving.has(snapshotUid) ? undefined : this.#manifests.get(snapshotUid);
  }

  /** True also for a snapshot whose manifest cannot be read. */
  has(snapshotUid: string): boolean {
    if (this.#leaving.has(snapshotUid)) return false;
    return this.#manifests.has(snapshotUid) || this.#corrupt.has(snapshotUid);
  }

  /** What is wrong with a snapshot's manifest, if anything. */
  corruption(snapshotUid: string): VmRuntimeError | undefined {
    const problem = this.#corrupt.get(snapshotUid);
    return problem === undefined ? undefined : corrupt(snapshotUid, 'manifest.json', problem);
  }

  /** Every snapshot that can be read, also of VMs that are gone; in creation order. */
  all(): readonly SnapshotManifest[] {
    return [...this.#manifests.values()].filter(({ snapshotUid }) => !this.#leaving.has(snapshotUid));
  }

  /** In creation order. */
  ofInstance(instanceId: string): readonly SnapshotManifest[] {
    return this.#byInstance.get(instanceId) ?? [];
  }

  find(instanceId: string, snapshotId: string): SnapshotManifest | undefined {
    return this.ofInstance(instanceId).find(
      (manifest) => manifest.snapshotId === snapshotId && !this.#leaving.has(manifest.snapshotUid),
    );
  }

  async publish(manifest: SnapshotManifest): Promise<void> {
    await this.#store.publishSnapshot(manifest);
    this.#add(manifest);
    // The digests were made from these very files, in this boot.
    await this.#seal(manifest);
  }

  /** From the call on nobody finds it; it is there again when its files cannot be removed. */
  async remove(snapshotUid: string): Promise<void> {
    this.#leaving.add(snapshotUid);
    try {
      await this.#store.removeSnapshot(snapshotUid);
      this.#drop(snapshotUid);
    } finally {
      this.#leaving.delete(snapshotUid);
    }
  }

  /** Keeps a snapshot from being deleted while a restore reads it. */
  hold(snapshotUid: string): () => void {
    this.#holds.set(snapshotUid, (this.#holds.get(snapshotUid) ?? 0) + 1);
    return () => {
      const left = (this.#holds.get(snapshotUid) ?? 1) - 1;
      if (left === 0) this.#holds.delete(snapshotUid);
      else this.#holds.set(snapshotUid, left);
    };
  }

  isHeld(snapshotUid: string): boolean {
    return this.#holds.has(snapshotUid);
  }

  /**
   * Sizes and identity of every file always; their digests when `full`, or when the files were not yet read
   * since the host booted. Errors: SNAPSHOT_CORRUPT; an abort rejects with the signal's reason.
   */
  async verify(
    manifest: SnapshotManifest,
    options: { readonly full: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const directory = this.#store.snapshotDirectory(manifest.snapshotUid);
    if (directory === undefined) return;
    const identities = await Promise.all(
      manifest.parts.map((part) => identify(manifest.snapshotUid, directory, part)),
    );
    if (!options.full && (await this.#isSealed(manifest.snapshotUid, identities))) return;
    for (const part of manifest.parts) {
      const digest = await this.digest(join(directory, part.name), options.signal);
      if (digest !== part.digest) {
        throw corrupt(manifest.snapshotUid, part.name, `digest ${digest}, expected ${part.digest}`);
      }
    }
    await this.#seal(manifest);
  }

  #add(manifest: SnapshotManifest): void {
    this.#manifests.set(manifest.snapshotUid, manifest);
    this.#byInstance.set(manifest.instanceId, [...this.ofInstance(manifest.instanceId), manifest]);
  }

  #drop(snapshotUid: string): void {
    const manifest = this.#manifests.get(snapshotUid);
    this.#manifests.delete(snapshotUid);
    this.#corrupt.delete(snapshotUid);
    this.#sealed.delete(snapshotUid);
    if (manifest === undefined) return;
    const rest = this.ofInstance(manifest.instanceId).filter((other) => other !== manifest);
    if (rest.length === 0) this.#byInstance.delete(manifest.instanceId);
    else this.#byInstance.set(manifest.instanceId, rest);
  }

  async #isSealed(snapshotUid: string, identities: readonly string[]): Promise<boolean> {
    const files = JSON.stringify(identities);
    if (this.#sealed.get(snapshotUid) === files) return true;
    const directory = this.#store.snapshotDirectory(snapshotUid) ?? '';
    // Without a readable seal the files are read once more, which is always right.
    const seal = sealSchema.safeParse((await readJson(join(directory, SEAL), SEAL_MAX_BYTES)).value).data;
    if (seal?.bootId !== this.#bootId || JSON.stringify(seal.files) !== files) return false;
    this.#sealed.set(snapshotUid, files);
    return true;
  }

  async #seal(manifest: SnapshotManifest): Promise<void> {
    const { snapshotUid, parts } = manifest;
    const directory = this.#store.snapshotDirectory(snapshotUid);
    if (directory === undefined) return;
    const files = await Promise.all(parts.map((part) => identify(snapshotUid, directory, part)));
    const seal: z.infer<typeof sealSchema> = { bootId: this.#bootId, files };
    await this.#hostCalls?.writeDurable(join(directory, SEAL), JSON.stringify(seal));
    this.#sealed.set(snapshotUid, JSON.stringify(files));
  }
}

async function identify(snapshotUid: string, directory: string, part: ManifestPart): Promise<string> {
  const status = await lstat(join(directory, part.name)).catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException;
    // Any other error is the host's, and says nothing about the snapshot.
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw corrupt(snapshotUid, part.name, message);
  });
  if (!status.isFile()) throw corrupt(snapshotUid, part.name, 'not a regular file');
  if (status.size !== part.sizeBytes) {
    throw corrupt(snapshotUid, part.name, `${status.size} bytes, expected ${part.sizeBytes}`);
  }
  // Not the time of the inode's change: every link that a VM gets of a file, and its removal, changes that.
  return `${part.name}:${status.ino}:${status.mtimeMs}`;
}

function corrupt(snapshotUid: string, part: string, problem: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_SNAPSHOT_CORRUPT', `read snapshot ${snapshotUid}, ${part}: ${problem}`, {
    details: { snapshotUid, part, problem },
  });
}
