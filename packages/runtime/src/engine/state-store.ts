import type { FinishedJob, VmRecord } from './record.js';
import type { SnapshotManifest } from './manifest.js';

/** What a state directory held when it was opened. */
export interface LoadedState {
  readonly records: readonly VmRecord[];
  readonly manifests: readonly SnapshotManifest[];
  readonly corruptSnapshots: readonly { readonly snapshotUid: string; readonly problem: string }[];
  readonly jobs: readonly FinishedJob[];
  /** Half-made folders and temporary files without an owner. */
  readonly leftovers: readonly string[];
}

/**
 * Where the engine's state lives. Every method that changes something resolves when the change is durable.
 */
export interface StateStore {
  readonly isDurable: boolean;
  load(): Promise<LoadedState>;
  removeLeftovers(paths: readonly string[]): Promise<void>;

  vmDirectory(instanceId: string): string | undefined;
  createVm(record: VmRecord): Promise<void>;
  writeVm(record: VmRecord): Promise<void>;
  /** Removes all of a VM's folder but its record. */
  clearVm(instanceId: string): Promise<void>;
  removeVm(instanceId: string): Promise<void>;

  saveJob(job: FinishedJob): Promise<void>;
  removeJob(jobId: string): Promise<void>;

  snapshotDirectory(snapshotUid: string): string | undefined;
  /** An empty folder for a capture. */
  stageSnapshot(snapshotUid: string): Promise<string | undefined>;
  /** Makes a staged snapshot appear, whole. */
  publishSnapshot(manifest: SnapshotManifest): Promise<void>;
  /** Removes a snapshot, staged or published; without effect when there is none. */
  removeSnapshot(snapshotUid: string): Promise<void>;

  close(): Promise<void>;
}
