import { mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { capture } from '../testbed/program.mjs';
import { copyHostConfig, debianMirror } from './host-config.mjs';

const SUITE = 'bookworm';
/** Sparse; a gate with all it builds needs some 6 GiB. */
const DISK_SIZE = '24G';

/**
 * An ext4 file system on a file that has no name any more once it is mounted, so that the kernel frees it
 * with the namespace. Only a kill within the second that mkfs takes leaves an empty file of this name, which
 * the next run removes.
 */
export async function mountDisk(image, at) {
  await rm(image, { force: true });
  await capture('truncate', ['-s', DISK_SIZE, image]);
  try {
    await capture('mkfs.ext4', ['-q', '-F', image]);
    await mkdir(at, { recursive: true });
    await capture('mount', ['-o', 'loop', image, at]);
  } finally {
    await rm(image);
  }
}

/**
 * Debian's minimal system with Node, and nothing else but the way to this host's registries. Returns its
 * environment.
 */
export async function makeBareRoot(root) {
  const mirror = await debianMirror();
  const source = mirror === undefined ? [] : [mirror];
  await capture('debootstrap', ['--variant=minbase', SUITE, root, ...source]);
  const env = await copyHostConfig(root);
  await installNode(root);
  for (const name of ['dev', 'sys']) await capture('mount', ['--rbind', `/${name}`, join(root, name)]);
  await capture('mount', ['-t', 'proc', 'proc', join(root, 'proc')]);
  return env;
}

/** The Node and the npm that run this, as the registry has them. */
async function installNode(root) {
  const local = join(root, 'usr', 'local');
  const npmVersion = (await capture('npm', ['--version'])).trim();
  await unpack(`node-linux-${process.arch}@${process.versions.node}`, join(local, 'lib', 'node'));
  await unpack(`npm@${npmVersion}`, join(local, 'lib', 'node_modules', 'npm'));
  await symlink('../lib/node/bin/node', join(local, 'bin', 'node'));
  for (const name of ['npm', 'npx']) {
    await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, 'bin', name));
  }
}

async function unpack(spec, folder) {
  await mkdir(join(folder, '..'), { recursive: true });
  const work = await mkdtemp(`${folder}.`);
  const packed = await capture('npm', ['pack', '--silent', '--pack-destination', work, spec]);
  await capture('tar', ['-xzf', join(work, packed.trim().split('\n').at(-1)), '-C', work]);
  await rename(join(work, 'package'), folder);
  await rm(work, { recursive: true });
}

/** The commit that is checked out in `repository`, cloned. */
export async function cloneHead(repository, folder) {
  const head = (await capture('git', ['-C', repository, 'rev-parse', 'HEAD'])).trim();
  await capture('git', ['clone', '-q', '--no-hardlinks', '--no-checkout', repository, folder]);
  await capture('git', ['-C', folder, 'checkout', '-q', '--detach', head]);
  return head;
}
