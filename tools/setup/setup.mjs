import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureNodeModules } from './node-modules.mjs';
import { ensurePackages } from './packages.mjs';
import { GATE_REQUIREMENTS } from './requirements.mjs';
import { bin, main, NX_ENV, ROOT, run, step, StepFailed } from './run.mjs';

/**
 * Everything between a fresh clone and running code; each part only when something is missing or has changed.
 * What a later step would fail for is looked for first, so that nobody waits for a build to be told.
 *
 * @param {{ requirements?: readonly import('./packages.mjs').Requirement[], projects?: readonly string[] }}
 * options
 *   `projects`: the packages to build, with all that they need among them; all of them by default
 */
export async function setup({ requirements = GATE_REQUIREMENTS, projects } = {}) {
  await step('Node.js', () => checkNode(process.versions.node));
  await step('system packages', () => ensurePackages(requirements));
  await step('npm packages', ensureNodeModules);
  await step('build', () => nx('build', projects));
  const makeImage = join(ROOT, 'packages', 'image', 'dist', 'cli', 'main.js');
  // Its progress is shown on the standard error; what it found is nothing to whoever waits here.
  const stdio = ['inherit', 'ignore', 'inherit'];
  await step('guest image', () => run(process.execPath, [makeImage, 'default'], { stdio }));
}

/** Runs one target of these projects, or of all; with CI set, nothing comes from nx's cache. */
async function nx(target, projects) {
  const options = ['--outputStyle=static', ...(isCi() ? ['--skip-nx-cache'] : [])];
  // In the order that the dependencies say, but without packages that only tests need.
  if (projects !== undefined) options.push('-p', projects.join(), '--excludeTaskDependencies');
  const done = [];
  try {
    await run(bin('nx'), ['run-many', '-t', target, ...options], {
      env: { ...NX_ENV, NO_COLOR: '1', FORCE_COLOR: '0' },
      log: target,
      onLine: (line) => sayDone(line, done),
    });
  } finally {
    if (done.length > 0) process.stdout.write('\n');
  }
  return `${done.length} packages`;
}

/** nx prints this line with the output of a task that has ended. */
function sayDone(line, done) {
  const [, name] = /^> nx run (?:@microvm\/)?([^:]+):/.exec(line) ?? [];
  if (name === undefined) return;
  process.stdout.write(`${done.length === 0 ? '  ' : ' '}${name}`);
  done.push(name);
}

function isCi() {
  return !['', '0', 'false'].includes(process.env.CI ?? '');
}

function checkNode(version) {
  const [major, minor] = version.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 17)) return version;
  throw new StepFailed(`Node.js 20.17 or newer is needed, this is ${version}`);
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main(() => setup());
