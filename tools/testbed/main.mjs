import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { main, ROOT, StepFailed } from '../setup/run.mjs';
import { setup } from '../setup/setup.mjs';
import { findFirecracker, runTestbed } from './testbed.mjs';

const HELP = `Usage: npm run testbed [-- [OPTION]... [FILE...]]
       npm run testbed -- [OPTION]... --shell COMMAND

Emulates a host that has KVM (Debian, cgroup v2, XFS) and runs tests of the Firecracker driver in it, on the real binaries: those that
MICROVM_FIRECRACKER_BIN and MICROVM_JAILER_BIN name, else those in PATH. Ends with the exit code of what ran.

  FILE               test files, or folders of such; default: packages/firecracker/test
  -t PATTERN         only tests whose name matches
  --shell COMMAND    run this with bash in /checkout instead
  --results DIR      folder for what was left in $TESTBED_RESULTS there
  --minutes N        kill it all after so long (default: 30)
  --refresh          make the system anew, of the newest packages
  --no-setup         do not look whether everything is installed and built
  --help             this text
`;

await main(async () => {
  const { values, positionals } = parseArgs({
    options: {
      shell: { type: 'string' },
      testNamePattern: { type: 'string', short: 't' },
      results: { type: 'string' },
      minutes: { type: 'string', default: '30' },
      refresh: { type: 'boolean' },
      setup: { type: 'boolean', default: true },
      help: { type: 'boolean' },
    },
    allowPositionals: true,
    allowNegative: true,
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new StepFailed(`--minutes ${values.minutes}: not a positive number`);
  if (values.setup) await setup();
  return runTestbed({
    ...{ shell: values.shell, testNamePattern: values.testNamePattern, refresh: values.refresh },
    ...{ resultsDir: values.results, deadlineMs: minutes * 60_000 },
    files: values.shell === undefined ? await testFiles(positionals) : [],
  });
});

async function testFiles(named) {
  const { firecracker, jailer } = findFirecracker();
  if (firecracker === undefined || jailer === undefined) {
    throw new StepFailed(
      'there is no firecracker, or no jailer: set MICROVM_FIRECRACKER_BIN and MICROVM_JAILER_BIN',
    );
  }
  const paths = named.length > 0 ? named : [join('packages', 'firecracker', 'test')];
  const files = (await Promise.all(paths.map((path) => testFilesAt(resolve(ROOT, path))))).flat();
  if (files.length === 0) throw new StepFailed(`no test files in ${paths.join(' ')}`);
  return files;
}

async function testFilesAt(path) {
  const found = await stat(path).catch(() => {
    throw new StepFailed(`no such file: ${path}`);
  });
  if (!found.isDirectory()) return [path];
  const names = await readdir(path, { recursive: true });
  return names
    .filter((name) => name.endsWith('.test.ts'))
    .toSorted()
    .map((name) => join(path, name));
}
