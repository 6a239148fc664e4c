import assert from 'node:assert';
import { readdir, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ignoreMissing, readMounts } from '@microvm/driver-kit';
import type { VmPlan } from './vm-plan.js';

/** The folder of the cgroups of all owners, below the mount. */
const ALL = 'microvm';

/** The mount point of cgroups of version 2, alone or beside version 1; undefined where there is none. */
export async function findCgroupMount(): Promise<string | undefined> {
  return (await readMounts()).find(({ type }) => type === 'cgroup2')?.point;
}

/**
 * The cgroups of one owner's VMs, in a folder that bears the owner's id. So what is left of one owner is
 * never taken for another owner's, whatever the paths of their state directories are.
 */
export class Cgroups {
  readonly #mount: string | undefined;
  #ownerId: string | undefined;

  /** `mount`: undefined where VMs get no cgroup. */
  constructor(mount: string | undefined) {
    this.#mount = mount;
  }

  get areAvailable(): boolean {
    return this.#mount !== undefined;
  }

  /** To be called before anything else. */
  open(ownerId: string): void {
    this.#ownerId = ownerId;
  }

  /** The path of a VM's cgroup; undefined for a VM without a cgroup. */
  pathOf(plan: Pick<VmPlan, 'cgroup'>): string | undefined {
    const name = this.nameOf(plan);
    return name === undefined || this.#mount === undefined ? undefined : join(this.#mount, name);
  }

  /** The same, below the mount. */
  nameOf({ cgroup }: Pick<VmPlan, 'cgroup'>): string | undefined {
    // Plans of earlier releases have a path here. The owner's folder is that of whoever owns the VM now.
    return cgroup === null || this.#mount === undefined ? undefined : join(this.#folder(), basename(cgroup));
  }

  /** The paths of all cgroups of this owner, by the instances that they are named for. */
  async list(): Promise<ReadonlyMap<string, string>> {
    if (this.#mount === undefined) return new Map();
    const folder = join(this.#mount, this.#folder());
    return new Map((await foldersIn(folder)).map((name) => [name, join(folder, name)]));
  }

  /** Whether another owner has a cgroup. */
  async hasAnyOf(ownerId: string): Promise<boolean> {
    return this.#mount !== undefined && (await foldersIn(join(this.#mount, ALL, ownerId))).length > 0;
  }

  /**
   * Removes the folder of this owner's cgroups, and the folder of all owners, when nothing is left in them.
   */
  async removeEmpty(): Promise<void> {
    if (this.#mount === undefined || this.#ownerId === undefined) return;
    const own = join(this.#mount, this.#folder());
    for (const path of [own, dirname(own)]) {
      // The folder holds a VM that lives on, or another owner.
      await rmdir(path).catch(() => undefined);
    }
  }

  #folder(): string {
    assert(this.#ownerId !== undefined, 'cgroups are asked for after the open');
    return join(ALL, this.#ownerId);
  }
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = (await readdir(path, { withFileTypes: true }).catch(ignoreMissing)) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
