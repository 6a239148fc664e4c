import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Where the build has put a program or library of this package. Throws an `Error` that says what to do when
 * it was not built.
 */
export function builtPath(name: string): string {
  const path = fileURLToPath(new URL(`../build/release/bin/${name}`, import.meta.url));
  if (existsSync(path)) return path;
  throw new Error(`find "${name}" of the volatile disk: "${path}" does not exist; run \`npm run build\``);
}
