import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Modules that a guest of ours needs, in the order in which they are wanted: the agent's channel first.
 * Whatever they depend on is loaded before them.
 */
export const GUEST_MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_mmio',
  'virtio_console',
  'failover',
  'net_failover',
  'virtio_blk',
  'virtio_net',
  'virtio-rng',
  'virtio_balloon',
  'button',
  'evdev',
  'pvpanic',
  'pvpanic-mmio',
  'vsock',
  'vmw_vsock_virtio_transport_common',
  'vmw_vsock_virtio_transport',
  'vsock_loopback',
  'squashfs',
  'overlay',
] as const;

export interface KernelModule {
  /** As the kernel calls it, with `_` for `-`. */
  readonly name: string;
  readonly path: string;
}

/**
 * The modules `wanted` and all that they depend on, in an order in which each can be loaded; those that are
 * built into the kernel are left out. The dependencies are read from the modules themselves: `modules.dep` is
 * not in the kernel's package, it is made by depmod at installation.
 *
 * @param root folder of one kernel release, `lib/modules/<release>`
 * @throws Error when a module is neither there nor built in
 */
export async function resolveModules(root: string, wanted: readonly string[]): Promise<KernelModule[]> {
  const files = await moduleFiles(root);
  const builtIn = await builtInModules(root);
  const resolved = new Map<string, KernelModule>();
  const inProgress = new Set<string>();

  const visit = async (rawName: string): Promise<void> => {
    const name = canonicalName(rawName);
    if (resolved.has(name) || builtIn.has(name)) return;
    if (inProgress.has(name)) throw new Error(`kernel module ${name} depends on itself`);
    const path = files.get(name);
    if (path === undefined) throw new Error(`kernel module ${name} is neither in ${root} nor built in`);
    inProgress.add(name);
    for (const dependency of moduleDependencies(await readFile(path))) await visit(dependency);
    inProgress.delete(name);
    resolved.set(name, { name, path });
  };

  for (const name of wanted) await visit(name);
  return [...resolved.values()];
}

/** Names in the `depends=` field of a module's `.modinfo` section. */
export function moduleDependencies(module: Buffer): string[] {
  if (module.toString('hex', 0, 4) !== '7f454c46') throw new Error('not an uncompressed kernel module');
  const field = '\0depends=';
  const at = module.indexOf(field, 0, 'latin1');
  if (at < 0) throw new Error('kernel module has no `depends` field');
  const start = at + field.length;
  const names = module.toString('latin1', start, module.indexOf(0, start));
  return names === '' ? [] : names.split(',');
}

function canonicalName(name: string): string {
  return name.replaceAll('-', '_');
}

function nameOfFile(path: string): string {
  return canonicalName(path.slice(path.lastIndexOf('/') + 1).replace(/\.ko$/, ''));
}

async function moduleFiles(root: string): Promise<Map<string, string>> {
  const names = await readdir(join(root, 'kernel'), { recursive: true });
  const modules = names.filter((name) => name.endsWith('.ko'));
  return new Map(modules.map((name) => [nameOfFile(name), join(root, 'kernel', name)]));
}

async function builtInModules(root: string): Promise<Set<string>> {
  const list = await readFile(join(root, 'modules.builtin'), 'utf8');
  return new Set(list.split('\n').filter(Boolean).map(nameOfFile));
}
