import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureNodeModules } from './node-modules.mjs';
import { ensurePackages } from './packages.mjs';
import { bin, main, NX_ENV, ROOT, run, step, StepFailed } from './run.mjs';

/** Everything between a fresh clone and running code; each part only when something is missing or has changed. */
export async function setup() {
  await step('Node.js', () => checkNode(process.versions.node));
  await step('system packages', ensurePackages);
  await step('npm packages', ensureNodeModules);
  await step('build', () => nx('build'));
  await step('guest image', () =>
    run(process.execPath, [join(ROOT, 'packages', 'image', 'dist', 'main.js'), '--quiet']),
  );
}

/** Runs one target of every package; with CI set, nothing comes from nx's cache. */
export async function nx(target) {
  const cache = isCi() ? ['--skip-nx-cache'] : [];
  await run(bin('nx'), ['run-many', '-t', target, '--outputStyle=static', ...cache], { env: NX_ENV });
}

function isCi() {
  return !['', '0', 'false'].includes(process.env.CI ?? '');
}

function checkNode(version) {
  const [major, minor] = version.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 17)) return version;
  throw new StepFailed(`Node.js 20.17 or newer is needed, this is ${version}`);
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main(setup);
