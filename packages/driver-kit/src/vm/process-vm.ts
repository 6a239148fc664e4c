import assert from 'node:assert';
import type { DriverVm } from '@microvm/runtime';

/**
 * A VM whose VMM is a process: it always has a folder. A driver narrows `plan` to what its own `plan` method
 * answered.
 */
export interface ProcessVm extends DriverVm {
  readonly directory: string;
}

/**
 * A VM with what a driver derives from it. `vmId` stays a property of the engine: a copy by `{ ...vm }` would
 * keep a name that the VM loses by a rename.
 */
export function deriveVm<Derived extends object>(
  vm: DriverVm,
  derived: Derived,
): Omit<DriverVm, keyof Derived> & Derived {
  const all = { ...Object.getOwnPropertyDescriptors(vm), ...Object.getOwnPropertyDescriptors(derived) };
  return Object.defineProperties({}, all) as Omit<DriverVm, keyof Derived> & Derived;
}

/** The folder of a VM, or of a snapshot that is captured or restored. */
export function folderOf(owner: Pick<DriverVm, 'directory'>): string {
  assert(owner.directory !== undefined, 'a driver whose VMMs are processes needs a state directory');
  return owner.directory;
}
