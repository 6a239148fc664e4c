import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Path of the double of the `firecracker` program. Throws an `Error` that says what to do when it was not
 * built.
 */
export function fakeFirecrackerPath(): string {
  return programPath('firecracker');
}

/**
 * Path of the double of the `jailer` program; it belongs to the other double: it prepares the guest that its
 * VMM boots.
 */
export function fakeJailerPath(): string {
  return programPath('jailer');
}

// `MICROVM_FAKE_BUILD=asan`: those of `npm run build:asan`, with sanitizers; too large and slow for more than
// their own tests.
function programPath(name: string): string {
  const build = process.env['MICROVM_FAKE_BUILD'] ?? 'release';
  const path = fileURLToPath(new URL(`../build/${build}/bin/${name}`, import.meta.url));
  if (existsSync(path)) return path;
  throw new Error(`find the double of ${name}: "${path}" does not exist; run \`npm run build\``);
}
