import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Guest, VmRuntime, VmSpec } from '@microvm/runtime';
import { afterAll, afterEach, beforeAll, onTestFinished } from 'vitest';
import type { ProviderFactory } from './factory.js';

const FOLDER_PREFIX = join(tmpdir(), 'microvm-test-');
const HOOK_TIMEOUT_MS = 300_000;

/**
 * One runtime for a file of a driver's own tests, with a snapshot of a VM with a workload. The tests' VMs are
 * restored from this snapshot.
 */
export class SharedRuntime {
  readonly #factory: ProviderFactory;
  #runtime: VmRuntime | undefined;
  #stateDir = '';
  #snapshotUid = '';
  #vms = 0;
  /** The workload's count when the snapshot was taken. */
  count = 0;

  constructor(factory: ProviderFactory) {
    this.#factory = factory;
  }

  get runtime(): VmRuntime {
    if (this.#runtime === undefined) throw new Error('the runtime is not open');
    return this.#runtime;
  }

  get stateDir(): string {
    return this.#stateDir;
  }

  get snapshotUid(): string {
    return this.#snapshotUid;
  }

  /** Before the tests. */
  async open(): Promise<void> {
    const { workload, spec = {} } = this.#factory;
    if (workload === undefined) throw new Error('the factory has no workload');
    this.#stateDir = await mkdtemp(FOLDER_PREFIX);
    this.#runtime = await this.#factory.open({ stateDir: this.#stateDir });
    await this.runtime.createVmWithSpec('first', spec);
    await this.runtime.startVm('first');
    const guest = await this.runtime.guest('first');
    await workload.start(guest);
    this.count = await workload.read(guest);
    this.#snapshotUid = (await this.runtime.snapshotVm('first', 'working')).snapshotUid;
    await this.runtime.destroyVm('first');
  }

  newId(): string {
    this.#vms += 1;
    return `vm-${this.#vms}`;
  }

  /** A VM that goes on from the snapshot. */
  async restore(spec: VmSpec = {}): Promise<{ vmId: string; guest: Guest }> {
    const vmId = this.newId();
    const restoreFrom = { snapshotUid: this.#snapshotUid };
    await this.runtime.createVmWithSpec(vmId, { ...spec, restoreFrom });
    return { vmId, guest: await this.runtime.guest(vmId) };
  }

  /** After the tests. */
  async close(): Promise<void> {
    await this.#runtime?.close();
    await rm(this.#stateDir, { recursive: true, force: true });
  }
}

/**
 * Opens a runtime before the tests of a file or block, destroys its VMs after each test, and closes the
 * runtime at the end.
 */
export function useSharedRuntime(factory: ProviderFactory): SharedRuntime {
  const timeoutMs = HOOK_TIMEOUT_MS * (factory.deadlineFactor ?? 1);
  const shared = new SharedRuntime(factory);
  beforeAll(() => shared.open(), timeoutMs);
  afterEach(() => destroyAll(shared.runtime), timeoutMs);
  afterAll(() => shared.close(), timeoutMs);
  return shared;
}

/** Destroys every VM of a runtime. */
export async function destroyAll(runtime: VmRuntime): Promise<void> {
  for (const { vmId, state } of await runtime.listVms()) {
    if (state !== 'destroyed') await runtime.destroyVm(vmId);
  }
}

/**
 * A runtime for one test, in a folder of its own or in the one given; afterwards its VMs and its folder are
 * gone.
 */
export async function openForTest(
  open: (stateDir: string) => Promise<VmRuntime>,
  stateDir?: string,
): Promise<VmRuntime> {
  const folder = stateDir ?? (await mkdtemp(FOLDER_PREFIX));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const runtime = await open(folder);
  onTestFinished(async () => {
    await destroyAll(runtime).catch(() => undefined); // closed by the test
    await runtime.close();
  });
  return runtime;
}
