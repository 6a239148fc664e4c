import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { constants, tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { ensurePackages } from '../setup/packages.mjs';
import { program } from '../setup/probes.mjs';
import { main, step, StepFailed } from '../setup/run.mjs';
import { spawnInNamespaces } from './namespaces.mjs';

const HELP = `Usage: npm run fresh [-- OPTION...]

Makes a bare root, Debian 12's minbase and Node and nothing else, clones the commit that is checked out here into it, and runs the
README's commands there. Needs root. What it makes goes away with it, whenever and however it ends.

  --only quickstart|test   only this command
  --keep                   then open a shell in there
  --help                   this text
`;

const COMMANDS = { quickstart: 'npm run quickstart', test: 'npm test' };

const REQUIREMENTS = [
  { package: 'debootstrap', purpose: 'makes the bare root', probe: program('debootstrap') },
  { package: 'e2fsprogs', purpose: 'makes its disk', probe: program('mkfs.ext4') },
  { package: 'git', purpose: 'clones into it', probe: program('git') },
  { package: 'mount', purpose: 'mounts its disk', probe: program('mount') },
  { package: 'util-linux', purpose: 'makes its namespaces', probe: program('setpriv') },
];

const IMAGE = /^microvm-fresh-(\d+)\.img$/;

await main(async () => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return void console.log(HELP);
  if (values.only !== undefined && !Object.hasOwn(COMMANDS, values.only)) {
    throw new StepFailed(`--only ${values.only}: there are ${Object.keys(COMMANDS).join(', ')}`);
  }
  if (process.getuid() !== 0) throw new StepFailed('a bare root takes root: run it with sudo');
  await step('system packages', () => ensurePackages(REQUIREMENTS));
  await removeLeftovers();
  const commands = Object.entries(COMMANDS).filter(([name]) => (values.only ?? name) === name);
  return runInside({
    image: join(tmpdir(), `microvm-fresh-${process.pid}.img`),
    // A folder that is always there; only our namespace sees what is mounted on it.
    mountPoint: '/mnt',
    commands: commands.map(([, command]) => command),
    keep: values.keep,
  });
});

/** Images of runs that were killed in the second before they took the image's name away. */
async function removeLeftovers() {
  for (const name of await readdir(tmpdir())) {
    const pid = IMAGE.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await rm(join(tmpdir(), name), { force: true });
  }
}

async function runInside(plan) {
  const script = join(import.meta.dirname, 'inside.mjs');
  const child = spawnInNamespaces(process.execPath, [script, JSON.stringify(plan)], { stdio: 'inherit' });
  // Ctrl-C reaches the commands too, which end in their own way; then the child ends.
  process.on('SIGINT', () => {});
  process.once('SIGTERM', () => child.kill('SIGKILL'));
  const [code, signal] = await once(child, 'close');
  return code ?? 128 + constants.signals[signal];
}
