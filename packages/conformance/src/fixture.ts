import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  isLive,
  type Capabilities,
  type CommonOptions,
  type SnapshotView,
  type VmRuntime,
  type VmSpec,
  type VmState,
  type VmView,
} from '@microvm/runtime';
import { vi } from 'vitest';
import { ARRANGE } from './arrange.js';
import { emptyRuntime } from './emptying.js';
import { viewOf } from './expectations.js';
import type { GuestWorkload, ProviderFactory } from './factory.js';
import { StepGates } from './step-gates.js';

/** A snapshot that every VM of the suite can come from at once, instead of by a cold boot. */
export interface Golden {
  readonly snapshot: SnapshotView;
  /** The workload's count before the snapshot was taken; 0 without a workload. */
  readonly count: number;
}

interface Opened {
  readonly runtime: VmRuntime;
  readonly stateDir: string | undefined;
  isClosed: boolean;
}

export type FreshOptions = Omit<CommonOptions, 'stateDir' | 'onStep'>;

/**
 * The provider in the suite's hands: one runtime that most tests share, with its golden snapshot, and fresh
 * ones for those that need their own. After each test nothing is left in the shared one but the golden
 * snapshot.
 */
export class ProviderFixture {
  readonly factory: ProviderFactory;
  readonly capabilities: Capabilities;
  readonly gates = new StepGates();
  readonly atOnce: number;
  #shared: Opened | undefined;
  #fresh: Opened[] = [];
  #golden: Golden | undefined;
  #ids = 0;

  constructor(factory: ProviderFactory, capabilities: Capabilities) {
    this.factory = factory;
    this.capabilities = capabilities;
    this.atOnce = factory.atOnce ?? 3;
  }

  get isDurable(): boolean {
    return this.factory.durable ?? true;
  }

  get workload(): GuestWorkload {
    if (this.factory.workload === undefined) throw new Error('the factory has guestAgent, but no workload');
    return this.factory.workload;
  }

  /** A deadline on this host, in milliseconds. */
  deadline(ms: number): number {
    return ms * (this.factory.deadlineFactor ?? 1);
  }

  spec(extra: VmSpec = {}): VmSpec {
    return { ...this.factory.spec, ...extra };
  }

  /** The same for a VM with an image, which has its own root drive and needs an agent. */
  specOfImage(extra: VmSpec): VmSpec {
    const { rootDrive: _other, ...spec } = this.spec(extra);
    return spec.agent === 'none' ? { ...spec, agent: 'required' } : spec;
  }

  /** An id that no VM has had. */
  newId(): string {
    this.#ids += 1;
    return `vm-${this.#ids}`;
  }

  /** The shared runtime; opened again when a test closed it. */
  async open(): Promise<VmRuntime> {
    if (this.#shared === undefined) this.#golden = undefined;
    if (this.#shared === undefined || this.#shared.isClosed) {
      this.#shared = await this.#open(this.#shared?.stateDir, {});
    }
    return this.#shared.runtime;
  }

  /** Closes the shared runtime and answers with its state directory. */
  async close(): Promise<string> {
    const shared = this.#shared;
    if (shared?.stateDir === undefined) throw new Error('a volatile runtime cannot be opened again');
    await shared.runtime.close();
    shared.isClosed = true;
    return shared.stateDir;
  }

  /** Closes the runtime and opens it again, as a restart of the process does to a state directory. */
  async reopen(): Promise<VmRuntime> {
    await this.close();
    return this.open();
  }

  get stateDir(): string {
    if (this.#shared?.stateDir === undefined) throw new Error('a volatile runtime has no state directory');
    return this.#shared.stateDir;
  }

  /** A runtime with a state of its own, closed and removed after the test. */
  async fresh(options: FreshOptions = {}): Promise<VmRuntime> {
    return (await this.freshWithDirectory(options)).runtime;
  }

  async freshWithDirectory(options: FreshOptions = {}): Promise<Readonly<Opened>> {
    const opened = await this.#open(undefined, options);
    this.#fresh.push(opened);
    return opened;
  }

  /** Opens a directory that another runtime has, or had; closed after the test. */
  async openAgain(stateDir: string, options: FreshOptions = {}): Promise<VmRuntime> {
    const opened = await this.#open(stateDir, options);
    this.#fresh.push(opened);
    return opened.runtime;
  }

  async #open(stateDir: string | undefined, options: FreshOptions): Promise<Opened> {
    const directory =
      stateDir ?? (this.isDurable ? await mkdtemp(join(tmpdir(), 'microvm-conformance-')) : undefined);
    try {
      const runtime = await this.factory.open({ ...options, stateDir: directory, onStep: this.gates.onStep });
      return { runtime, stateDir: directory, isClosed: false };
    } catch (error) {
      if (stateDir === undefined) await removeDirectory(directory);
      throw error;
    }
  }

  canArrange(state: VmState): boolean {
    return state !== 'paused' || this.capabilities.pause;
  }

  /**
   * Makes a VM in a state of the shared runtime. Only fields that a restore may choose anew make sense in
   * `spec`.
   */
  async arrange(state: VmState, spec: VmSpec = {}): Promise<VmView> {
    const runtime = await this.open();
    return this.#arrange(runtime, state, spec, await this.#source(runtime));
  }

  async #source(runtime: VmRuntime): Promise<string | undefined> {
    const { memorySnapshot, concurrentRestores } = this.capabilities;
    if (!memorySnapshot) return undefined;
    const { snapshotUid } = (await this.golden()).snapshot;
    if (concurrentRestores) return snapshotUid;
    const views = await runtime.listVms();
    const isTaken = views.some((view) => view.restoredFrom === snapshotUid && isLive(view.state));
    return isTaken ? undefined : snapshotUid;
  }

  /** Makes a VM in a state of any other runtime, by a cold boot where it must live. */
  arrangeIn(runtime: VmRuntime, state: VmState, spec: VmSpec = {}): Promise<VmView> {
    return this.#arrange(runtime, state, spec, undefined);
  }

  async #arrange(
    runtime: VmRuntime,
    state: VmState,
    extra: VmSpec,
    source: string | undefined,
  ): Promise<VmView> {
    const vmId = this.newId();
    const crash = async (): Promise<unknown> => {
      await this.factory.endGuest(runtime, vmId, 'kill-vmm');
      return this.untilState(runtime, vmId, 'crashed');
    };
    await ARRANGE[state]({ runtime, vmId, spec: this.spec(), source, extra, crash });
    return viewOf(runtime, vmId);
  }

  /** The shared runtime's golden snapshot, made on first use. */
  async golden(): Promise<Golden> {
    const runtime = await this.open();
    this.#golden ??= await this.#makeGolden(runtime);
    return this.#golden;
  }

  async #makeGolden(runtime: VmRuntime): Promise<Golden> {
    const { vmId } = await this.arrangeIn(runtime, 'running');
    let count = 0;
    if (this.capabilities.guestAgent && this.factory.workload !== undefined) {
      const guest = await runtime.guest(vmId);
      await this.workload.start(guest);
      count = await this.workload.read(guest);
    }
    const snapshot = await runtime.snapshotVm(vmId, 'golden');
    await runtime.destroyVm(vmId);
    await runtime.forgetVm(vmId);
    return { snapshot, count };
  }

  /** Waits until something is true; fails with its last error at the deadline. */
  eventually<T>(check: () => T | Promise<T>): Promise<T> {
    return vi.waitFor(check, { timeout: this.deadline(60_000), interval: 10 });
  }

  async untilState(runtime: VmRuntime, vmId: string, state: VmState): Promise<VmView> {
    return this.eventually(async () => {
      const view = await viewOf(runtime, vmId);
      if (view.state !== state) throw new Error(`"${vmId}" is ${view.state}, not ${state}`);
      return view;
    });
  }

  /** After each test: everything that it made is gone, or the shared runtime is given up. */
  async cleanUp(): Promise<void> {
    this.gates.reset();
    await this.#discardFresh();
    try {
      await this.#emptyShared();
    } catch (error) {
      const shared = this.#shared;
      this.#shared = undefined;
      // The first error says more than one of the discard.
      if (shared !== undefined) await this.#discard(shared).catch(() => undefined);
      throw error;
    }
  }

  async dispose(): Promise<void> {
    await this.cleanUp();
    if (this.#shared !== undefined) await this.#discard(this.#shared);
    this.#shared = undefined;
    await this.factory.images?.dispose?.();
  }

  // Latest first: of several runtimes on one directory only the last can be open.
  async #discardFresh(): Promise<void> {
    const directories = new Set<string>();
    for (const opened of this.#fresh.splice(0).reverse()) {
      if (opened.stateDir !== undefined && directories.has(opened.stateDir)) continue;
      if (opened.stateDir !== undefined) directories.add(opened.stateDir);
      await this.#discard(opened);
    }
  }

  async #emptyShared(): Promise<void> {
    const shared = this.#shared;
    if (shared === undefined) return;
    if (shared.isClosed && shared.stateDir === undefined) {
      this.#shared = undefined;
      return;
    }
    await this.#empty(await this.open(), this.#golden?.snapshot.snapshotUid);
  }

  #empty(runtime: VmRuntime, keptSnapshotUid?: string): Promise<void> {
    return emptyRuntime(runtime, { keptSnapshotUid, timeoutMs: this.deadline(120_000) });
  }

  // A runtime that the test closed may still have VMs that live on: they are found by opening its directory
  // once more.
  async #discard(opened: Opened): Promise<void> {
    try {
      const isOpen = !opened.isClosed && (await isUsable(opened.runtime));
      if (isOpen || opened.stateDir !== undefined) {
        const runtime = isOpen ? opened.runtime : await this.factory.open({ stateDir: opened.stateDir });
        await this.#empty(runtime).finally(() => runtime.close());
      }
    } finally {
      await removeDirectory(opened.stateDir);
    }
  }
}

async function isUsable(runtime: VmRuntime): Promise<boolean> {
  return runtime.listVms().then(
    () => true,
    () => false,
  );
}

async function removeDirectory(path: string | undefined): Promise<void> {
  if (path !== undefined) await rm(path, { recursive: true, force: true, maxRetries: 5 });
}
