import assert from 'node:assert';
import type { DriverVm } from '@microvm/runtime';

/**
 * A VM whose VMM is a process: it always has a folder. A driver narrows `plan` to what its own `plan` method
 * answered.
 */
export interface ProcessVm extends DriverVm {
  readonly directory: string;
}

/** The folder of a VM, or of a snapshot that is captured or restored. */
export function folderOf(owner: Pick<DriverVm, 'directory'>): string {
  assert(owner.directory !== undefined, 'a driver whose VMMs are processes needs a state directory');
  return owner.directory;
}
