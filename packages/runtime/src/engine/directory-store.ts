import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { unsupported, VmRuntimeError } from '../contract/errors.js';
import type { DirectoryLock, HostCalls } from '../ports/host-calls.js';
import { FolderSync } from './folder-sync.js';
import { makeStateDirectory } from './make-state-directory.js';
import type { SnapshotManifest } from './manifest.js';
import { readJson } from './read-json.js';
import { MANIFEST_MAX_BYTES, readManifest, type ManifestRead } from './read-manifest.js';
import { isFinishedJob, readRecord, RECORD_MAX_BYTES, type FinishedJob, type VmRecord } from './record.js';
import { Reserve } from './reserve.js';
import type { LoadedState, StateStore } from './state-store.js';
import { syncPath } from './sync-path.js';

const RECORD = 'vm.json';
const MANIFEST = 'manifest.json';
const STAGING = '.staging-';
const FOLDERS = ['vms', 'jobs', 'snapshots'] as const;
const READS_AT_ONCE = 32;

/** State in a folder that this process alone owns; ARCHITECTURE.md has its layout. */
export class DirectoryStore implements StateStore {
  readonly isDurable = true;
  readonly #root: string;
  readonly #hostCalls: HostCalls;
  readonly #lock: DirectoryLock;
  readonly #reserve: Reserve;
  readonly #newVms: FolderSync;

  private constructor(root: string, hostCalls: HostCalls, lock: DirectoryLock, reserve: Reserve) {
    this.#root = root;
    this.#hostCalls = hostCalls;
    this.#lock = lock;
    this.#reserve = reserve;
    this.#newVms = new FolderSync(() => syncPath(join(root, 'vms')));
  }

  /** Makes the folders where they are missing and takes the lock. Errors: STATE_LOCKED, the system's. */
  static async open(root: string, hostCalls: HostCalls): Promise<DirectoryStore> {
    await makeStateDirectory(root);
    const lock = await hostCalls.lockDirectory(root).catch((error: unknown) => {
      throw lockError(root, error);
    });
    for (const folder of FOLDERS) await mkdir(join(root, folder), { recursive: true, mode: 0o700 });
    await syncPath(root);
    return new DirectoryStore(root, hostCalls, lock, await Reserve.open(root));
  }

  async load(): Promise<LoadedState> {
    const leftovers: string[] = [];
    const corruptSnapshots: { snapshotUid: string; problem: string }[] = [];
    const limit = pLimit(READS_AT_ONCE);
    const read = <T>(folder: string, load: (name: string) => Promise<T | undefined>): Promise<T[]> =>
      readdir(join(this.#root, folder))
        .then((names) => limit.map(names, load))
        .then((loaded) => loaded.filter((item) => item !== undefined));
    const records = await read('vms', (name) => this.#loadRecord(name, leftovers));
    const manifests = await read('snapshots', (name) =>
      this.#loadManifest(name, leftovers, corruptSnapshots),
    );
    const jobs = await read('jobs', (name) => this.#loadJob(name, leftovers));
    return { records, manifests, corruptSnapshots, jobs, leftovers };
  }

  async #loadRecord(name: string, leftovers: string[]): Promise<VmRecord | undefined> {
    const path = join(this.#root, 'vms', name, RECORD);
    const read = await readJson(path, RECORD_MAX_BYTES);
    if (read.missing) {
      leftovers.push(join('vms', name));
      return undefined;
    }
    const { record, problem } =
      read.problem === undefined ? readRecord(read.value, name) : { problem: read.problem };
    if (problem === undefined) return record;
    throw new VmRuntimeError('MICROVM_STATE_CORRUPT', `read "${path}": ${problem}`, {
      details: { path, problem },
    });
  }

  async #loadManifest(
    name: string,
    leftovers: string[],
    corrupt: { snapshotUid: string; problem: string }[],
  ): Promise<SnapshotManifest | undefined> {
    if (name.startsWith(STAGING)) {
      leftovers.push(join('snapshots', name));
      return undefined;
    }
    const { manifest, problem } = await this.#readManifest(name);
    if (problem !== undefined) corrupt.push({ snapshotUid: name, problem });
    return manifest;
  }

  /**
   * Somebody else may have put the folder there, so the folder must be no link and its manifest a regular
   * file.
   */
  async #readManifest(name: string): Promise<ManifestRead> {
    const folder = join(this.#root, 'snapshots', name);
    if (!(await lstat(folder)).isDirectory()) return { problem: 'not a folder' };
    const read = await readJson(join(folder, MANIFEST), MANIFEST_MAX_BYTES);
    if (read.missing) return { problem: 'no manifest' };
    return read.problem === undefined ? readManifest(read.value, name) : { problem: read.problem };
  }

  async #loadJob(name: string, leftovers: string[]): Promise<FinishedJob | undefined> {
    const read = await readJson(join(this.#root, 'jobs', name), RECORD_MAX_BYTES);
    if (name.endsWith('.json') && isFinishedJob(read.value)) return read.value;
    // A job of the history decides nothing any more: an unreadable one is not worth refusing to open.
    leftovers.push(join('jobs', name));
    return undefined;
  }

  async removeLeftovers(paths: readonly string[]): Promise<void> {
    for (const path of paths) await rm(join(this.#root, path), { recursive: true, force: true });
  }

  vmDirectory(instanceId: string): string {
    return join(this.#root, 'vms', instanceId);
  }

  async createVm(record: VmRecord): Promise<void> {
    await mkdir(this.vmDirectory(record.instanceId), { mode: 0o700 });
    // At once, as the disk then writes both in one go. A folder whose record did not come is swept.
    const flights = [this.#writeRecord(record), this.#newVms.run()];
    await Promise.allSettled(flights);
    await Promise.all(flights);
  }

  writeVm(record: VmRecord): Promise<void> {
    return this.#reserve.lend(() => this.#writeRecord(record));
  }

  #writeRecord(record: VmRecord): Promise<void> {
    const path = join(this.vmDirectory(record.instanceId), RECORD);
    // A destroyed VM's record is not written again: keep no spare file.
    const keepSpare = record.state !== 'destroyed';
    return this.#hostCalls.writeDurable(path, JSON.stringify(record), { keepSpare });
  }

  async clearVm(instanceId: string): Promise<void> {
    const directory = this.vmDirectory(instanceId);
    for (const name of await readdir(directory)) {
      if (name !== RECORD) await rm(join(directory, name), { recursive: true, force: true });
    }
    await this.#reserve.refill();
  }

  async removeVm(instanceId: string): Promise<void> {
    const directory = this.vmDirectory(instanceId);
    // The record is removed last: the next open sweeps a folder without a record, and takes a folder with a
    // record for a VM.
    await this.clearVm(instanceId).catch(ignoreMissing);
    await this.#hostCalls.removeDurable(join(directory, RECORD)).catch(ignoreMissing);
    await rm(directory, { recursive: true, force: true });
    await this.#reserve.refill();
  }

  saveJob(job: FinishedJob): Promise<void> {
    const path = join(this.#root, 'jobs', `${job.jobId}.json`);
    return this.#reserve.lend(() => this.#hostCalls.writeDurable(path, JSON.stringify(job)));
  }

  async removeJob(jobId: string): Promise<void> {
    await rm(join(this.#root, 'jobs', `${jobId}.json`), { force: true });
  }

  snapshotDirectory(snapshotUid: string): string {
    return join(this.#root, 'snapshots', snapshotUid);
  }

  async stageSnapshot(snapshotUid: string): Promise<string> {
    const directory = this.#stagingDirectory(snapshotUid);
    await mkdir(directory, { mode: 0o700 });
    return directory;
  }

  async publishSnapshot(manifest: SnapshotManifest): Promise<void> {
    const staging = this.#stagingDirectory(manifest.snapshotUid);
    await syncTree(
      staging,
      manifest.parts.map((part) => part.name),
    );
    const text = JSON.stringify(manifest);
    // A manifest that could not be read again must not be published.
    if (Buffer.byteLength(text) > MANIFEST_MAX_BYTES) {
      throw unsupported(`a snapshot whose description takes more than ${MANIFEST_MAX_BYTES} bytes`);
    }
    await this.#hostCalls.writeDurable(join(staging, MANIFEST), text);
    await this.#hostCalls.renameDurable(staging, this.snapshotDirectory(manifest.snapshotUid));
  }

  async removeSnapshot(snapshotUid: string): Promise<void> {
    const published = this.snapshotDirectory(snapshotUid);
    const staging = this.#stagingDirectory(snapshotUid);
    // Renamed back first: a half-removed snapshot must not be found under its published name.
    await this.#hostCalls.renameDurable(published, staging).catch(ignoreMissing);
    await rm(staging, { recursive: true, force: true });
    await this.#reserve.refill();
  }

  #stagingDirectory(snapshotUid: string): string {
    return join(this.#root, 'snapshots', `${STAGING}${snapshotUid}`);
  }

  async close(): Promise<void> {
    await this.#lock.release();
  }
}

async function syncTree(root: string, names: readonly string[]): Promise<void> {
  const folders = new Set(names.map((name) => join(root, name, '..')));
  for (const path of [...names.map((name) => join(root, name)), ...folders]) await syncPath(path);
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

function lockError(stateDir: string, error: unknown): unknown {
  const { code, pid } = error as NodeJS.ErrnoException & { pid?: number };
  if (code !== 'EWOULDBLOCK' && code !== 'EAGAIN') return error;
  const holder = pid === undefined ? 'another process' : `process ${pid}`;
  return new VmRuntimeError('MICROVM_STATE_LOCKED', `open "${stateDir}": ${holder} owns it`, {
    details: pid === undefined ? { stateDir } : { stateDir, pid },
    cause: error,
  });
}
