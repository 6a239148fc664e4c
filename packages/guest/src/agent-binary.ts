import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** This file's URL; undefined where a bundler made CommonJS of this package. */
const here = import.meta.url as string | undefined;

/** Where the agent is in the package, and in a checkout of the repository, as seen from this file. */
const SHIPPED = '../agent/linux-x64/microvm-agent';
const BUILT = '../../../native/build/Release/microvm-agent';

/**
 * Path of the agent's static binary (linux-x64) that belongs to this package. Throws an `Error` that says
 * what to do when the agent was not built, or when a bundler took this file out of its package.
 */
export function agentBinaryPath(): string {
  if (here === undefined || !isInPackage(here)) throw new Error(`find the guest agent: ${BUNDLED}`);
  const places = [SHIPPED, BUILT].map((place) => fileURLToPath(new URL(place, here)));
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(
    `find the guest agent: neither "${places.join('" nor "')}" exists; in a checkout run \`npm run build\`, else reinstall @microvm/guest`,
  );
}

const BUNDLED =
  '@microvm/guest was put into a bundle without its files; ' +
  'mark all packages of @microvm as external in the bundler, such as `--external:@microvm/*` for esbuild, and install them beside the bundle';

function isInPackage(url: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(new URL('../package.json', url), 'utf8')) as { name?: unknown };
    return manifest.name === '@microvm/guest';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // No manifest, or one that is no JSON: whatever the folder is, it is not the package.
    if (code === undefined || code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
}
