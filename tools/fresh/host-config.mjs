import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { capture } from '../testbed/program.mjs';

/** How apt is configured on this host, in files that are copied as they are. */
const APT_FILES = [
  'auth.conf',
  'auth.conf.d',
  'keyrings',
  'sources.list',
  'sources.list.d',
  'trusted.gpg',
  'trusted.gpg.d',
];
const APT_KEYRINGS = '/usr/share/keyrings';
/** How names are resolved. */
const NETWORK_FILES = ['/etc/hosts', '/etc/resolv.conf'];
const ENVIRONMENT = /^(https?_proxy|no_proxy|all_proxy|npm_config_.*|NODE_EXTRA_CA_CERTS)$/i;

/** The mirror that this host's apt has of Debian 12. */
export async function debianMirror() {
  const format = '$(CODENAME) $(REPO_URI)';
  const targets = await capture('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  return mirrorIn(targets);
}

/**
 * The first source of bookworm itself in lines of a code name and a URI; Debian's own address where there is
 * none.
 */
export function mirrorIn(targets) {
  const line = targets.split('\n').find((each) => each.startsWith('bookworm '));
  return line?.split(' ')[1];
}

/**
 * Takes how this host reaches its registries into a root; returns the environment variables that belong to
 * it.
 */
export async function copyHostConfig(root) {
  for (const name of APT_FILES) await copy(join('/etc/apt', name), root);
  for (const path of [APT_KEYRINGS, ...NETWORK_FILES]) await copy(path, root);
  await mkdir(join(root, 'etc/apt/apt.conf.d'), { recursive: true });
  await writeFile(
    join(root, 'etc/apt/apt.conf.d/00host'),
    acquireOptions(await capture('apt-config', ['dump'])),
  );
  return { ...registryEnvironment(process.env), ...(await copyNpmConfig(root)) };
}

/** What `apt-config dump` says about how packages are fetched; hooks and the like stay on the host. */
export function acquireOptions(dump) {
  return dump
    .split('\n')
    .filter((line) => /^Acquire::\S+ ".+";$/.test(line))
    .map((line) => `${line}\n`)
    .join('');
}

export function registryEnvironment(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => ENVIRONMENT.test(name)));
}

async function copyNpmConfig(root) {
  const setting = async (name) => (await capture('npm', ['config', 'get', name])).trim();
  await copy(await setting('userconfig'), root, '/root/.npmrc');
  const globalConfig = await setting('globalconfig');
  await copy(globalConfig, root);
  for (const path of [await setting('cafile'), process.env.NODE_EXTRA_CA_CERTS]) {
    if (path?.startsWith('/')) await copy(path, root);
  }
  return { npm_config_globalconfig: globalConfig };
}

/** Copies a file or a folder to the same place in a root, unless there is none. */
async function copy(path, root, target = path) {
  await mkdir(join(root, dirname(target)), { recursive: true });
  await cp(path, join(root, target), { recursive: true, dereference: true, force: true }).catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
}
