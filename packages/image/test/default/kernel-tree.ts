import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GUEST_MODULES } from '../../src/default/kernel-modules.js';

/** Bytes that are a module as far as its dependencies are concerned. */
export function moduleBytes(depends: string): Buffer {
  return Buffer.from(`\x7fELF--\0license=GPL\0depends=${depends}\0retpoline=Y\0`, 'latin1');
}

/**
 * Writes `lib/modules/<release>` with modules (path below `kernel/` → its `depends` field) and the list of
 * built-in ones.
 */
export async function writeKernelTree(
  root: string,
  modules: Readonly<Record<string, string>>,
  builtIn: readonly string[] = [],
): Promise<void> {
  for (const [name, depends] of Object.entries(modules)) {
    const path = join(root, 'kernel', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, moduleBytes(depends));
  }
  await mkdir(join(root, 'kernel'), { recursive: true });
  await writeFile(join(root, 'modules.builtin'), builtIn.map((name) => `kernel/${name}\n`).join(''));
}

/** Every module that a guest needs, each without dependencies. */
export function allGuestModules(): Record<string, string> {
  return Object.fromEntries(GUEST_MODULES.map((name) => [`drivers/${name}.ko`, '']));
}
