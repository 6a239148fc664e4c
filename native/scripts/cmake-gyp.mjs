#!/usr/bin/env node
// prebuildify drives node-gyp; this answers its one call, `rebuild --arch=… --release`, with the usual build
// by cmake-js, which does nothing when that is fresh. prebuildify moves the addon away that it finds in its
// own folder, so it gets a copy; the executables go beside the addon from here, which is all that it takes
// itself.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
const forwarded = process.argv.slice(2).filter((arg) => arg.startsWith('--arch=') || arg === '--debug');
const { status } = spawnSync(process.execPath, [cmakeJs, 'compile', '-d', packageFolder, ...forwarded], {
  stdio: 'inherit',
});
if (status === 0) {
  const built = join(packageFolder, 'build/Release');
  const staged = join(process.cwd(), 'build/Release');
  const prebuilds = join(packageFolder, 'prebuilds', `${process.platform}-${process.arch}`);
  for (const folder of [staged, prebuilds]) mkdirSync(folder, { recursive: true });
  copyFileSync(join(built, 'native.node'), join(staged, 'native.node'));
  copyFileSync(join(built, 'microvm-watcher'), join(prebuilds, 'microvm-watcher'));
}
process.exit(status ?? 1);
