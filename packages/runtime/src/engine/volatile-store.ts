import type { LoadedState, StateStore } from './state-store.js';

const EMPTY: LoadedState = { records: [], manifests: [], corruptSnapshots: [], jobs: [], leftovers: [] };

/** State that lives and dies with the process. */
export class VolatileStore implements StateStore {
  readonly isDurable = false;

  load(): Promise<LoadedState> {
    return Promise.resolve(EMPTY);
  }
  vmDirectory(): undefined {
    return undefined;
  }
  snapshotDirectory(): undefined {
    return undefined;
  }
  stageSnapshot(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
  async removeLeftovers(): Promise<void> {}
  async createVm(): Promise<void> {}
  async writeVm(): Promise<void> {}
  async clearVm(): Promise<void> {}
  async removeVm(): Promise<void> {}
  async saveJob(): Promise<void> {}
  async removeJob(): Promise<void> {}
  async publishSnapshot(): Promise<void> {}
  async removeSnapshot(): Promise<void> {}
  async close(): Promise<void> {}
}
