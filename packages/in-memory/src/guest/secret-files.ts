import type { ScriptedSettings } from '@microvm/guest';
import { ROOT_DRIVE } from '../driver/disks.js';
import type { MemoryVm } from '../driver/memory-vm.js';
import { FileSystem } from '../fs/file-system.js';
import { FileTree } from '../fs/file-tree.js';
import { accountOf } from './accounts.js';

/** Throws a `ScriptedErrno` of the step `user` for an owner whom the guest does not know; empty: root. */
export function checkOwner(vm: Pick<MemoryVm, 'disks' | 'spec'>, owner: string): void {
  const files = vm.disks.files(ROOT_DRIVE, vm.spec);
  if (files !== undefined) accountOf(files, owner);
}

/** Shows the secrets as files of /run/secrets: of a file system of its own, which no disk keeps. */
export function showSecrets(files: FileSystem, { secrets }: ScriptedSettings): void {
  const run = files.find('/run');
  if (run?.kind !== 'directory') return;
  const there = run.entries.get('secrets');
  const covered = there?.isMount === true ? there.covered : there;
  if (secrets.size === 0) {
    if (covered === undefined) run.entries.delete('secrets');
    else run.entries.set('secrets', covered);
    return;
  }
  const tree = new FileTree(files.tree.now);
  const own = new FileSystem(tree, { uid: 0, gid: 0 }, 0);
  for (const [name, { bytes, owner }] of secrets) {
    const { uid, gid } = accountOf(files, owner);
    tree.setFacts(own.writeFile(`/${name}`, bytes, 0o600), { uid, gid });
  }
  tree.setFacts(tree.root, { mode: 0o711 });
  Object.assign(tree.root, { isMount: true, covered, parent: run });
  run.entries.set('secrets', tree.root);
}
