import { createHash } from 'node:crypto';
import { chmod, copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { ROOT } from '../setup/run.mjs';
import { capture } from './program.mjs';
import { ensureFolder, makeDisk } from './system.mjs';

/** In the checkout, not for the testbed: node_modules has a disk of its own, the others are made by tools. */
const LEFT_OUT = new Set(['.git', '.nx', 'node_modules', 'coverage', '.testbed']);
/** Of the native build only what runs. */
const NATIVE_BUILD = join('native', 'build');
const GIB = 1024 ** 3;

/** The disk with the installed npm packages, cached by the lock file. */
export async function ensureNodeModulesDisk(cacheDir) {
  const lock = await readFile(join(ROOT, 'package-lock.json'));
  const folder = join(
    cacheDir,
    `node-modules-${createHash('sha256').update(lock).digest('hex').slice(0, 16)}`,
  );
  const isNew = await ensureFolder(folder, (staging) =>
    makeDisk(join(staging, 'disk.img'), join(ROOT, 'node_modules'), 2 * GIB),
  );
  return { path: join(folder, 'disk.img'), isNew };
}

/**
 * The disk with the checkout as it is now, built parts included, and in `.testbed` what this run needs: the
 * job, the binaries, the cached guest image.
 */
export async function makeCheckoutDisk(folder, { job, programs, imageCache, bundles }) {
  const tree = join(folder, 'checkout');
  await cp(ROOT, tree, { recursive: true, verbatimSymlinks: true, filter: isWanted });
  const own = join(tree, '.testbed');
  await mkdir(join(own, 'cache'), { recursive: true });
  await mkdir(join(own, 'bin'));
  await mkdir(join(tree, 'node_modules'));
  await capture('cp', ['-a', '--sparse=auto', imageCache, join(own, 'cache')]);
  for (const [name, path] of Object.entries(programs)) {
    await copyFile(path, join(own, 'bin', name));
    await chmod(join(own, 'bin', name), 0o755);
  }
  await cp(bundles, join(own, 'tests'), { recursive: true });
  await writeFile(join(own, 'job'), job);
  const path = join(folder, 'checkout.img');
  await makeDisk(path, tree, 2 * GIB);
  return path;
}

function isWanted(path) {
  const name = relative(ROOT, path);
  if (LEFT_OUT.has(name)) return false;
  return !name.startsWith(`${NATIVE_BUILD}/`) || name.startsWith(join(NATIVE_BUILD, 'Release'));
}
