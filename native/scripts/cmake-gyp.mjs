#!/usr/bin/env node
// prebuildify drives node-gyp; this answers its one call, `rebuild --arch=… --release`, with cmake-js, and puts the executables beside
// the addon, which is all that prebuildify takes itself.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
const forwarded = process.argv.slice(2).filter((arg) => arg.startsWith('--arch=') || arg === '--debug');
const build = join(process.cwd(), 'build');
const { status } = spawnSync(
  process.execPath,
  [cmakeJs, 'compile', '-d', packageFolder, '-O', build, '--CDNATIVE_AGENT=OFF', ...forwarded],
  { stdio: 'inherit' },
);
if (status === 0) {
  const prebuilds = join(packageFolder, 'prebuilds', `${process.platform}-${process.arch}`);
  mkdirSync(prebuilds, { recursive: true });
  copyFileSync(join(build, 'Release/microvm-watcher'), join(prebuilds, 'microvm-watcher'));
}
process.exit(status ?? 1);
