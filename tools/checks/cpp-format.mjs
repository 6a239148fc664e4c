import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { installLine } from '../setup/packages.mjs';
import { main, ROOT, StepFailed } from '../setup/run.mjs';
import { sourceFiles } from './source-files.mjs';

/**
 * Versions of clang-format differ in what they make of the same settings, so the name of the program has the
 * version.
 */
const PROGRAM = 'clang-format-14';

/**
 * Formats all C and C++ below `root` by its .clang-format, or only looks.
 *
 * @returns {Promise<{ files: number, problems: string[] }>} one line for each place that is not formatted
 */
export async function formatCpp(root, { write = false } = {}) {
  const files = await sourceFiles(root, (path) => /\.(cc|c|h)$/.test(path));
  if (files.length === 0) return { files: 0, problems: [] };
  const options = write ? ['-i'] : ['--dry-run', '-Werror'];
  try {
    await promisify(execFile)(PROGRAM, [...options, ...files], { cwd: root, maxBuffer: 2 ** 28 });
    return { files: files.length, problems: [] };
  } catch (error) {
    if (error.code === 'ENOENT') throw new StepFailed(`no ${PROGRAM}: ${installLine([PROGRAM])}`);
    const problems = error.stderr.split('\n').filter((line) => / error: /.test(line));
    if (problems.length === 0) throw error;
    return { files: files.length, problems: problems.map((line) => line.replace(/: error: .*/, '')) };
  }
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    const { files, problems } = await formatCpp(ROOT, { write: process.argv.includes('--write') });
    if (problems.length === 0) return console.log(`${files} C++ files are formatted by .clang-format`);
    throw new StepFailed(`not formatted; \`npm run format\` does it:\n${problems.join('\n')}`);
  });
}
