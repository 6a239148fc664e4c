import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { ensurePackages } from '../setup/packages.mjs';
import { program } from '../setup/probes.mjs';
import { findProgram, ROOT, step, StepFailed } from '../setup/run.mjs';
import { ensureNodeModulesDisk, makeCheckoutDisk } from './checkout.mjs';
import { runMachine } from './machine.mjs';
import { ensureSystem } from './system.mjs';
import { bundleTests } from './tests.mjs';

const REQUIREMENTS = [
  { package: 'qemu-system-x86', purpose: 'emulates a host with KVM', probe: program('qemu-system-x86_64') },
  { package: 'e2fsprogs', purpose: 'makes its disks', probe: program('mkfs.ext4') },
  { package: 'cpio', purpose: 'makes its initrd', probe: program('cpio') },
  { package: 'kmod', purpose: 'lists its kernel modules', probe: program('depmod') },
  { package: 'tar', purpose: 'unpacks what a job hands back', probe: program('tar') },
];
const DEFAULT_DEADLINE_MS = 30 * 60_000;

/**
 * The paths of Firecracker and its jailer: `$MICROVM_FIRECRACKER_BIN` and `$MICROVM_JAILER_BIN`, else those
 * in PATH.
 */
export function findFirecracker(env = process.env) {
  return {
    firecracker: env.MICROVM_FIRECRACKER_BIN ?? findProgram('firecracker', env.PATH),
    jailer: env.MICROVM_JAILER_BIN ?? findProgram('jailer', env.PATH),
  };
}

/**
 * Runs test files, or a command, on an emulated host that has KVM, with the checkout as it is and what is
 * built of it. Resolves with the exit code.
 *
 * @param {{ files?: readonly string[], testNamePattern?: string, shell?: string, resultsDir?: string,
 * deadlineMs?: number,
 * refresh?: boolean, onOutput?: (data: Buffer) => void }} options `files` from the root of the repository or
 * absolute; what
 *   the tests print goes to standard output, or to `onOutput`
 */
export async function runTestbed(options) {
  const programs = Object.fromEntries(
    Object.entries(findFirecracker()).filter(([, path]) => path !== undefined),
  );
  await step('testbed: packages', () => ensurePackages(REQUIREMENTS));
  const folder = await mkdtemp(join(tmpdir(), 'microvm-testbed-'));
  const abort = new AbortController();
  const interrupt = (signal) => abort.abort(new StepFailed(`interrupted by ${signal}`));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, interrupt);
  try {
    const disks = await prepareDisks({ ...options, folder, programs });
    return await boot({ ...options, ...disks, folder, signal: abort.signal });
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM']) process.removeListener(signal, interrupt);
    await rm(folder, { recursive: true, force: true });
  }
}

async function prepareDisks({ folder, programs, refresh, shell, files, testNamePattern }) {
  // Only known once it is built, which the caller has seen to.
  const { ensureDefaultImage } = await import('@microvm/image');
  const image = await ensureDefaultImage();
  const imageCache = resolve(dirname(image.kernelPath), '..', '..');
  const cacheDir = join(dirname(imageCache), 'testbed');
  const found = ({ isNew }) => (isNew ? 'made' : 'cached');
  const disks = {};
  await step('testbed: system', async () =>
    found((disks.system = await ensureSystem(cacheDir, { refresh }))),
  );
  await step('testbed: npm packages', async () =>
    found((disks.nodeModules = await ensureNodeModulesDisk(cacheDir))),
  );
  await step('testbed: checkout', async () => {
    const bundles = join(folder, 'tests');
    await mkdir(bundles);
    const job = shell ?? (await testJob(files, { bundles, testNamePattern }));
    disks.checkout = await makeCheckoutDisk(folder, { job, programs, imageCache, bundles });
  });
  return disks;
}

/** The shell script that runs bundled tests. */
async function testJob(files, { bundles, testNamePattern }) {
  const paths = files.map((file) => (isAbsolute(file) ? file : join(ROOT, file)));
  const [runner, ...modules] = await bundleTests(paths, bundles);
  const args = paths.flatMap((path, index) => [relative(ROOT, path), `.testbed/tests/${modules[index]}`]);
  if (testNamePattern !== undefined) args.unshift('-t', testNamePattern);
  const quoted = args.map((arg) => `'${arg.replaceAll("'", String.raw`'\''`)}'`);
  return `exec node --enable-source-maps .testbed/tests/${runner} ${quoted.join(' ')}\n`;
}

async function boot(options) {
  const { folder, resultsDir, system, checkout, nodeModules, signal } = options;
  const results = resultsDir === undefined ? undefined : await startUnpacking(resultsDir);
  console.log('▸ testbed: boot');
  const code = await runMachine({
    ...{ folder, system, checkout, nodeModules: nodeModules.path, signal },
    deadlineMs: options.deadlineMs ?? DEFAULT_DEADLINE_MS,
    onNote: (text) => console.log(`  ${text}`),
    onOutput: options.onOutput ?? ((data) => process.stdout.write(data)),
    onResults: (data) => results?.stdin.write(data),
  });
  results?.stdin.end();
  return code;
}

async function startUnpacking(resultsDir) {
  await mkdir(resultsDir, { recursive: true });
  const tar = spawn('tar', ['-x', '-C', resultsDir], { stdio: ['pipe', 'inherit', 'inherit'] });
  // An archive that is cut off, since the testbed was killed, is tar's to complain of.
  tar.stdin.on('error', () => {});
  return tar;
}
