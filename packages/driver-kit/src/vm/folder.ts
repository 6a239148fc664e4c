import assert from 'node:assert';
import type { DriverVm } from '@microvm/runtime';

/** The folder of a VM, or of a snapshot that is captured or restored. */
export function folderOf(owner: Pick<DriverVm, 'directory'>): string {
  assert(owner.directory !== undefined, 'a driver whose VMMs are processes needs a state directory');
  return owner.directory;
}
