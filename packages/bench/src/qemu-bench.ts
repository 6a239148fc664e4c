import { createQemuRuntime } from '@microvm/qemu';
import type { VmRuntime, VmSpec, VmView } from '@microvm/runtime';
import { TemporaryFolder } from './temporary-folder.js';

/** A QEMU runtime in a folder of its own, and what several dimensions do with it. */
export class QemuBench implements AsyncDisposable {
  /** The first command in a guest: it does nothing, so what is measured is the way to it. */
  readonly probeCommand: readonly [string, ...string[]] = ['/bin/true'];
  readonly #runtime: VmRuntime;
  readonly #folder: TemporaryFolder;
  readonly #spec: VmSpec;
  #count = 0;

  private constructor(runtime: VmRuntime, folder: TemporaryFolder, spec: VmSpec) {
    this.#runtime = runtime;
    this.#folder = folder;
    this.#spec = spec;
  }

  static async open(spec: VmSpec): Promise<QemuBench> {
    const folder = await TemporaryFolder.make();
    const runtime = await createQemuRuntime({
      stateDir: folder.path,
      defaults: { onOwnerDeath: 'destroy' },
    });
    return new QemuBench(runtime, folder, spec);
  }

  /** Creates and starts a VM; answers with its id. */
  async boot(): Promise<string> {
    const vmId = this.#nextId();
    await this.#runtime.createVmWithSpec(vmId, this.#spec);
    await this.#runtime.startVm(vmId);
    return vmId;
  }

  /** The same, up to the exit code of the first command. */
  async bootToExec(): Promise<string> {
    const vmId = await this.boot();
    await this.exec(vmId);
    return vmId;
  }

  async restoreToExec(snapshotUid: string): Promise<string> {
    const vmId = this.#nextId();
    await this.#runtime.createVmWithSpec(vmId, { restoreFrom: { snapshotUid } });
    await this.exec(vmId);
    return vmId;
  }

  async exec(vmId: string): Promise<void> {
    const guest = await this.#runtime.guest(vmId);
    const { exitCode } = await guest.exec({ argv: this.probeCommand, input: '' }).result;
    if (exitCode !== 0)
      throw new Error(`${this.probeCommand[0]} in "${vmId}": exit code ${String(exitCode)}`);
  }

  /** Snapshot of a VM that has just booted; answers with its uid. */
  async snapshotOfBooted(): Promise<string> {
    const vmId = await this.bootToExec();
    const { snapshotUid } = await this.#runtime.snapshotVm(vmId, 'booted');
    await this.destroy(vmId);
    return snapshotUid;
  }

  async view(vmId: string): Promise<VmView> {
    const view = await this.#runtime.getVm(vmId);
    if (view === undefined) throw new Error(`VM "${vmId}" is not there`);
    return view;
  }

  async destroy(vmId: string): Promise<void> {
    await this.#runtime.destroyVm(vmId);
    await this.#runtime.forgetVm(vmId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#runtime.close();
    await this.#folder[Symbol.asyncDispose]();
  }

  #nextId(): string {
    this.#count += 1;
    return `bench-${String(this.#count)}`;
  }
}
