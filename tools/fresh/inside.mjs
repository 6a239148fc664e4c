// Process 2 of the namespaces that main.mjs makes: builds the bare root and runs the commands in it.
import { join } from 'node:path';
import { main, ROOT, spawnInherited, step, StepFailed } from '../setup/run.mjs';
import { cloneHead, makeBareRoot, mountDisk } from './bare-root.mjs';

const CLONE = '/root/microvm-runtime';
const { image, mountPoint, commands, keep } = JSON.parse(process.argv[2]);
const root = join(mountPoint, 'root');

await main(async () => {
  await step('disk', () => mountDisk(image, mountPoint));
  let env;
  await step('Debian minbase and Node', async () => void (env = await makeBareRoot(root)));
  await step('clone', () => cloneHead(ROOT, join(root, CLONE)));
  const times = [];
  try {
    for (const command of commands) times.push(`${command}: ${await timed(command, env)}`);
  } finally {
    if (times.length > 0) console.log(`\n${times.join('\n')}`);
    if (keep) await look(env);
  }
});

async function timed(command, env) {
  console.log(`\n▸ ${command}, in a bare root`);
  const begun = performance.now();
  const code = await inRoot(env, `cd ${CLONE} && exec ${command}`);
  const seconds = Math.round((performance.now() - begun) / 1000);
  if (code !== 0) throw new StepFailed(`\`${command}\` ended with exit code ${code} after ${seconds} s`);
  return `${seconds} s`;
}

/** A shell in the root, which stays as long as that. */
async function look(env) {
  console.log(`▸ a shell in the bare root; all of it goes when you leave the shell`);
  await inRoot(env, `cd ${CLONE} && exec bash -i`);
}

function inRoot(env, script) {
  const variables = {
    ...{ PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    ...{ HOME: '/root', LANG: 'C.UTF-8', TERM: process.env.TERM ?? 'dumb', ...env },
    ...(process.env.CI === undefined ? {} : { CI: process.env.CI }),
  };
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  return spawnInherited('env', ['-i', ...assignments, 'chroot', root, 'sh', '-c', script]);
}
