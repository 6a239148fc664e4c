import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from '@microvm/conformance/linux-guest';
import { writeFaults, type FaultRule } from '@microvm/fake-firecracker';
import * as native from '@microvm/native';
import { openRuntime, type VmRuntime, type VmSpec } from '@microvm/runtime';
import { FirecrackerDriver } from '../../src/driver.js';
import { inspectHost } from '../../src/host/inspect-host.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

export const VICTIM = 'victim';
export const BYSTANDER = 'bystander';
export const SNAPSHOT_ID = 'sound';
const ABORT_GRACE_MS = 500;
const DISK_BYTES = 1024 * 1024;

/**
 * A runtime with a VM that runs and is nobody's enemy, and a snapshot of it, beside which others turn
 * hostile.
 */
export class HostileFixture {
  readonly stateDir: string;
  readonly #folder: string;
  #runtime: VmRuntime;
  #bystanderPid: number | undefined;

  private constructor(folder: string, runtime: VmRuntime) {
    this.#folder = folder;
    this.stateDir = join(folder, 'state');
    this.#runtime = runtime;
  }

  static async open(): Promise<HostileFixture> {
    const folder = await mkdtemp(join(tmpdir(), 'fc-hostile-'));
    await writeFile(join(folder, 'disk'), Buffer.alloc(DISK_BYTES));
    const fixture = new HostileFixture(folder, await open(join(folder, 'state')));
    const { runtime } = fixture;
    await runtime.createVmWithSpec(BYSTANDER, fixture.spec);
    fixture.#bystanderPid = (await runtime.startVm(BYSTANDER)).vmm?.pid;
    await runtime.snapshotVm(BYSTANDER, SNAPSHOT_ID);
    // What stays open from the first VM on, and from the session that follows the snapshot, is open before
    // anything is counted.
    await runtime.createVmWithSpec(VICTIM, fixture.spec);
    await runtime.startVm(VICTIM);
    await runtime.destroyVm(VICTIM);
    await fixture.bystander();
    return fixture;
  }

  /** A VM with a disk of its own. */
  get spec(): VmSpec {
    return { rootDrive: { path: join(this.#folder, 'disk') } };
  }

  get runtime(): VmRuntime {
    return this.#runtime;
  }

  /** From now on the VMMs that start obey these rules, beside the program that they run. */
  async turn(...rules: readonly FaultRule[]): Promise<void> {
    await writeFaults(join(this.stateDir, 'bin', 'firecracker'), rules);
  }

  /** Another owner of the state directory. */
  async reopen(): Promise<void> {
    await this.#runtime.close();
    this.#runtime = await open(this.stateDir);
  }

  /** The VM of nobody's enemy: its process, and what its guest answers. */
  async bystander(): Promise<{ readonly pid: number | undefined; readonly says: string }> {
    const view = await this.#runtime.getVm(BYSTANDER);
    const says = await outputOf(await this.#runtime.guest(BYSTANDER), 'echo well');
    return { pid: view?.vmm?.pid, says };
  }

  get unharmed(): Awaited<ReturnType<HostileFixture['bystander']>> {
    return { pid: this.#bystanderPid, says: 'well' };
  }

  /** Bytes that the record of a VM takes; undefined where there is none. */
  async recordBytes(vmId: string): Promise<number | undefined> {
    const { instanceId } = (await this.#runtime.getVm(vmId)) ?? {};
    if (instanceId === undefined) return undefined;
    return (await stat(join(this.stateDir, 'vms', instanceId, 'vm.json'))).size;
  }

  /** Folders of jails that there are. */
  async jails(): Promise<number> {
    return (await readdir(join(this.stateDir, 'jail', 'firecracker'))).length;
  }

  async close(): Promise<void> {
    await this.turn();
    await this.#runtime.destroyVm(BYSTANDER).catch(() => undefined);
    await this.#runtime.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/**
 * As the package opens one, but for the time that a driver is given to let go after an abort: half a minute
 * there.
 */
async function open(stateDir: string): Promise<VmRuntime> {
  const { firecrackerPath = '', jailerPath = '' } = DOUBLES;
  const inspect = { firecrackerPath, jailerPath, jail: true, kvm: 'unchecked', stateDir } as const;
  const { hostFacts, report } = await inspectHost(inspect);
  if (hostFacts === undefined) throw new Error(JSON.stringify(report));
  const driver = new FirecrackerDriver({
    hostFacts,
    stateDir,
    maxMemSizeMib: 1024,
    registryDir: '/run/microvm',
    probe: () => Promise.resolve(report),
  });
  const defaults = await imageDefaults();
  return openRuntime({ abortGraceMs: ABORT_GRACE_MS, stateDir, defaults, driver, hostCalls: native });
}

/** The most resident memory of this process since `forget`, in bytes. */
export const PEAK_MEMORY = {
  // proc(5), clear_refs: 5 sets the peak to what there is now.
  forget: (): void => writeFileSync('/proc/self/clear_refs', '5'),
  read: (): number => statusField('VmHWM') * 1024,
  now: (): number => statusField('VmRSS') * 1024,
};

function statusField(name: string): number {
  const line = readFileSync('/proc/self/status', 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`${name}:`));
  return Number(/\d+/.exec(line ?? '')?.[0]);
}

/** What this process has open. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      return []; // the one that the folder itself was read through
    }
  });
}
