import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Guest, VmRuntime, VmSpec } from '@microvm/runtime';
import { afterAll, afterEach, beforeAll, onTestFinished } from 'vitest';
import { createQemuRuntime, type QemuOptions } from '../src/index.js';
import { imageDefaults, readCounter, startCounter } from './factory.js';

/** Emulated guests on a busy machine: how long a test may take. */
export const SLOW = 120_000;

/** One runtime for a test file, with a snapshot of a VM that counts, which the tests' VMs come from. */
export class Scene {
  #runtime: VmRuntime | undefined;
  #stateDir = '';
  #snapshotUid = '';
  #vms = 0;
  /** What had been counted when the snapshot was taken. */
  count = 0;

  get runtime(): VmRuntime {
    if (this.#runtime === undefined) throw new Error('the scene is not set');
    return this.#runtime;
  }

  get stateDir(): string {
    return this.#stateDir;
  }

  get snapshotUid(): string {
    return this.#snapshotUid;
  }

  async set(): Promise<void> {
    this.#stateDir = await mkdtemp(join(tmpdir(), 'qemu-test-'));
    this.#runtime = await openIn(this.#stateDir);
    await this.runtime.createVm('first');
    await this.runtime.startVm('first');
    const guest = await this.runtime.guest('first');
    await startCounter(guest);
    this.count = await readCounter(guest);
    this.#snapshotUid = (await this.runtime.snapshotVm('first', 'counting')).snapshotUid;
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

  async clear(): Promise<void> {
    await destroyAll(this.runtime);
  }

  async strike(): Promise<void> {
    await this.#runtime?.close();
    await rm(this.#stateDir, { recursive: true, force: true });
  }
}

export function useScene(): Scene {
  const scene = new Scene();
  beforeAll(() => scene.set(), SLOW);
  afterEach(() => scene.clear(), SLOW);
  afterAll(() => scene.strike(), SLOW);
  return scene;
}

export async function openIn(
  stateDir: string,
  options: Omit<QemuOptions, 'stateDir'> = {},
): Promise<VmRuntime> {
  const defaults = { ...(await imageDefaults()), ...options.defaults };
  return createQemuRuntime({ ...options, defaults, stateDir });
}

export async function destroyAll(runtime: VmRuntime): Promise<void> {
  for (const { vmId, state } of await runtime.listVms()) {
    if (state !== 'destroyed') await runtime.destroyVm(vmId);
  }
}

/** A runtime for one test; afterwards its VMs and its folder are gone. */
export async function openForTest(options: QemuOptions = {}): Promise<VmRuntime> {
  const { stateDir = await mkdtemp(join(tmpdir(), 'qemu-test-')), ...others } = options;
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  const runtime = await openIn(stateDir, others);
  onTestFinished(async () => {
    await destroyAll(runtime).catch(() => undefined); // closed by the test
    await runtime.close();
  });
  return runtime;
}
