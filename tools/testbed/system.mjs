import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { capture } from './program.mjs';

/** Another number makes every cached disk anew. */
const FORMAT = 1;

const L1 = join(dirname(fileURLToPath(import.meta.url)), 'l1');

/** Debian packages of the testbed's system. usr-is-merged stands in for usrmerge, which needs perl. */
const PACKAGES = [
  ...['bash', 'busybox-static', 'coreutils', 'dash', 'findutils', 'grep', 'hostname', 'mawk', 'sed', 'tar'],
  ...['e2fsprogs', 'gzip', 'iproute2', 'iputils-ping', 'kmod', 'mount', 'nftables', 'perl-base', 'procps'],
  ...['squashfs-tools', 'strace', 'util-linux', 'xfsprogs', 'libstdc++6', 'usr-is-merged'],
];
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';
/** Dependencies of programs that are not used here, such as xfs_scrub. */
const LEFT_OUT = /^(libicu|libpython3|libsqlite|media-types|python3|udev_)/;
const LEFT_OUT_FOLDERS = ['usr/share/doc', 'usr/share/locale', 'usr/share/man', 'usr/share/info'];

const ETC = {
  passwd: 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n',
  group: 'root:x:0:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost\n::1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
};

/** In load order; what else is needed modprobe finds on the root disk. */
const INITRD_MODULES = ['virtio_ring', 'virtio', 'virtio_mmio', 'virtio_blk'];

/**
 * The testbed's system: kernel, initrd and root disk, made of Debian packages that apt fetches and checks,
 * without installing any, and of the Node that runs this. Cached by the digest of what it is made of; the
 * packages' versions stay until `refresh`.
 *
 * @returns {Promise<{ kernel: string, initrd: string, root: string, isNew: boolean }>}
 */
export async function ensureSystem(cacheDir, { refresh = false } = {}) {
  const folder = join(cacheDir, `system-${await systemDigest()}`);
  const isNew = await ensureFolder(folder, fillSystem, { refresh });
  return {
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd'),
    root: join(folder, 'root.img'),
    isNew,
  };
}

/** Makes a folder whole or not at all: `fill` works beside it. Returns whether it was made now. */
export async function ensureFolder(folder, fill, { refresh = false } = {}) {
  const exists = (await readdir(folder).catch(() => [])).length > 0;
  if (exists && !refresh) return false;
  await mkdir(dirname(folder), { recursive: true });
  const staging = await mkdtemp(`${folder}.new-`);
  try {
    await fill(staging);
    if (exists) await rm(folder, { recursive: true });
    // Another process may have been quicker; its folder is as good.
    await rename(staging, folder).catch((error) => {
      if (error.code !== 'ENOTEMPTY') throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return true;
}

/**
 * An ext4 file system with the content of a folder, sparse, without a journal: the testbed writes to
 * throw-away overlays only.
 */
export async function makeDisk(path, folder, sizeBytes) {
  await capture('mkfs.ext4', [
    ...['-q', '-F', '-m', '0', '-O', '^has_journal', '-E', 'lazy_itable_init=1,root_owner=0:0'],
    ...['-d', folder, path, `${Math.ceil(sizeBytes / 1024)}k`],
  ]);
}

async function systemDigest() {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([FORMAT, PACKAGES, KERNEL_PACKAGE, ETC]));
  hash.update(await readFile(join(L1, 'initrd-init')));
  for await (const chunk of createReadStream(process.execPath)) hash.update(chunk);
  return hash.digest('hex').slice(0, 16);
}

async function fillSystem(folder) {
  const work = join(folder, 'work');
  const root = join(work, 'root');
  await mkdir(root, { recursive: true });
  const debs = await fetchPackages(work);
  for (const deb of debs.filter((path) => !LEFT_OUT.test(basename(path)))) {
    await capture('dpkg-deb', ['-x', deb, root]);
  }
  for (const path of LEFT_OUT_FOLDERS) await rm(join(root, path), { recursive: true, force: true });
  const release = (await readdir(join(root, 'lib', 'modules')))[0];
  await rename(join(root, 'boot', `vmlinuz-${release}`), join(folder, 'vmlinuz'));
  await rm(join(root, 'boot'), { recursive: true });
  await capture('depmod', ['-b', root, release]);
  await completeRoot(root);
  await makeInitrd(root, release, { work, target: join(folder, 'initrd') });
  await makeDisk(join(folder, 'root.img'), root, 1024 ** 3);
  await rm(work, { recursive: true });
}

/** All packages with what they depend on, and the kernel alone: what makes initrds is not needed. */
async function fetchPackages(work) {
  // Built by the set-up that every run begins with; packages/image fetches its own packages in the same way.
  const { Apt, withPackageLists } = await import('../../packages/image/dist/default/apt.js');
  const apt = new Apt({ workDir: work });
  const archives = join(work, 'archives');
  const debs = await withPackageLists(apt, false, async () => {
    const files = await apt.downloadWithDependencies(PACKAGES, archives);
    const kernel = await apt.candidates([await apt.dependency(KERNEL_PACKAGE, 'linux-image-')]);
    return [...files, ...(await apt.download(kernel, archives, () => {}))];
  });
  return [...new Set(debs)].toSorted();
}

async function completeRoot(root) {
  for (const [name, text] of Object.entries(ETC)) await writeFile(join(root, 'etc', name), text);
  for (const name of ['checkout', 'dev', 'proc', 'root', 'run', 'state', 'sys', 'tmp', 'var/tmp']) {
    await mkdir(join(root, name), { recursive: true });
  }
  await mkdir(join(root, 'usr', 'local', 'bin'), { recursive: true });
  await copyFile(process.execPath, join(root, 'usr', 'local', 'bin', 'node'));
}

async function makeInitrd(root, release, { work, target }) {
  const tree = join(work, 'initrd');
  await mkdir(tree);
  await copyFile(join(L1, 'initrd-init'), join(tree, 'init'));
  await copyFile(join(root, 'bin', 'busybox'), join(tree, 'busybox'));
  const modules = join(root, 'lib', 'modules', release, 'kernel');
  const paths = await readdir(modules, { recursive: true });
  for (const name of INITRD_MODULES) {
    const path = paths.find((item) => basename(item) === `${name}.ko`);
    if (path === undefined) throw new Error(`the kernel package has no module ${name}`);
    await cp(join(modules, path), join(tree, `${name}.ko`));
  }
  const archive = await capture('cpio', ['-o', '-H', 'newc', '--quiet'], {
    cwd: tree,
    input: ['init', 'busybox', ...INITRD_MODULES.map((name) => `${name}.ko`), ''].join('\n'),
    encoding: 'buffer',
  });
  await writeFile(target, archive);
}
