import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, run } from './run.mjs';

/** Runs `npm ci` unless what is installed is what the lock file says; returns a line that says which. */
export async function ensureNodeModules() {
  const lock = await readJson(join(ROOT, 'package-lock.json'));
  if (lock === undefined) throw new Error('package-lock.json is missing or is no JSON');
  // npm writes this file when it is done, and `npm ci` removes it first: after a kill it is not there.
  const installed = await readJson(join(ROOT, 'node_modules', '.package-lock.json'));
  if (isInstalled(lock, installed)) return 'as the lock file says';
  await run('npm', ['ci', '--no-audit', '--no-fund'], { log: 'npm-ci' });
  return 'installed';
}

/**
 * True when every package of the lock file is installed in its version. Optional ones depend on the platform
 * and do not count.
 */
export function isInstalled(lock, installed) {
  if (installed === undefined) return false;
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (wanted.optional === true || !path.includes('node_modules/')) return true;
    const found = installed.packages?.[path];
    if (found === undefined) return false;
    if (wanted.link === true) return found.resolved === wanted.resolved;
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

async function readJson(path) {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
