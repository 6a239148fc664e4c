import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setImmediate } from 'node:timers';
import { fileURLToPath } from 'node:url';
import type { Addon } from './addon.js';

/** This file's URL; undefined where a bundler made CommonJS of this package. */
const here = import.meta.url as string | undefined;

/** This file is in a folder of the package, unless a bundler took it out. */
const packagePath = here === undefined ? '' : fileURLToPath(new URL('..', here));

let addon: Addon | undefined;

/**
 * The addon, loaded by the first call.
 *
 * @throws Error with code `MICROVM_NATIVE_NOT_LOADED`, which says for what host there is no binary and what
 * to do.
 */
export function loadAddon(): Addon {
  addon ??= load();
  return addon;
}

/**
 * The path of an executable that comes with the addon.
 *
 * @throws Error as of {@link loadAddon} when this host has none.
 */
export function binaryPath(name: string): string {
  requirePackage();
  const folders = ['build/Release', `prebuilds/${process.platform}-${process.arch}`];
  const path = folders.map((folder) => join(packagePath, folder, name)).find((file) => existsSync(file));
  if (path === undefined) throw notLoaded(new Error(`there is no ${name}`));
  return path;
}

function notLoaded(cause: Error, isBundled = false): Error {
  const error = new Error(diagnose(cause, isBundled), { cause });
  return Object.assign(error, { code: 'MICROVM_NATIVE_NOT_LOADED' });
}

function load(): Addon {
  requirePackage();
  try {
    const require = createRequire(join(packagePath, 'package.json'));
    const loaded = (require('node-gyp-build') as (folder: string) => Addon)(packagePath);
    // Node's own, imported: a test's fake clock, put in its place, would hold up what has ended.
    loaded.takeTurns(setImmediate);
    return loaded;
  } catch (cause) {
    throw notLoaded(cause as Error);
  }
}

function diagnose(cause: Error, isBundled: boolean): string {
  const host = `${process.platform}-${process.arch}`;
  const libc = process.platform === 'linux' ? ` (${libcName()})` : '';
  const lines = [
    `@microvm/native does not load on ${host}${libc}, Node ${process.versions.node}: ${cause.message}`,
  ];
  if (isBundled) {
    lines.push(
      'It was put into a bundle, where its addon is not. Mark all packages of @microvm as external in the bundler, such as',
      '`--external:@microvm/*` for esbuild, and install them beside the bundle.',
    );
  } else if (process.platform !== 'linux') {
    lines.push('It needs Linux: run it in a Linux machine or VM.');
  } else if (!hasBinary()) {
    lines.push(`The package has binaries for: ${prebuilds().join(', ') || 'none'}.`);
    lines.push('In a clone of the repository build it: npm run build -w native (needs g++ and cmake).');
    lines.push(
      'If it was installed with --omit=optional or copied from another machine: npm install on this one.',
    );
  } else {
    lines.push('A binary is there, but this system refuses it: is it older than the one it was built on?');
    lines.push('Build it here: npm run build -w native (needs g++ and cmake).');
  }
  return lines.join('\n');
}

/**
 * Throws when this code is anywhere but in its package. The system's other errors pass as they are: without a
 * descriptor, for one, nobody can tell.
 */
function requirePackage(): void {
  if (nameIn(readManifest()) !== '@microvm/native') throw notLoaded(new Error('its files are missing'), true);
}

/** Empty when there is none. */
function readManifest(): string {
  try {
    return readFileSync(join(packagePath, 'package.json'), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return '';
    throw error;
  }
}

function nameIn(manifest: string): unknown {
  try {
    return (JSON.parse(manifest) as { readonly name?: unknown }).name;
  } catch {
    return undefined; // whatever the folder is, it is not the package
  }
}

function libcName(): string {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  const { glibcVersionRuntime } = header;
  return glibcVersionRuntime === undefined ? 'musl' : `glibc ${glibcVersionRuntime}`;
}

function prebuilds(): string[] {
  const folder = join(packagePath, 'prebuilds');
  return existsSync(folder) ? readdirSync(folder) : [];
}

function hasBinary(): boolean {
  return (
    existsSync(join(packagePath, 'build/Release/native.node')) ||
    prebuilds().includes(`${process.platform}-${process.arch}`)
  );
}
