import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram, programFolders } from './run.mjs';

// A probe takes a PATH and resolves with undefined, or with what is wrong. It tries what a later step does,
// because the name of a package says little: one that is installed can lack what was only recommended to be
// installed with it.

/** A program that can be executed. */
export function program(name) {
  return async (path) => (findProgram(name, path) === undefined ? `no program ${name} in PATH` : undefined);
}

/** A program of C++ that compiles and links with these options. */
export function compiles(compiler, options, source = EMPTY) {
  return async (path) => {
    const found = findProgram(compiler, path);
    if (found === undefined) return `no program ${compiler} in PATH`;
    const folder = await mkdtemp(join(tmpdir(), 'microvm-probe-'));
    try {
      const file = join(folder, 'probe.cc');
      await writeFile(file, source);
      const env = { ...process.env, PATH: programFolders(path).join(delimiter), LC_ALL: 'C.UTF-8' };
      const args = ['-std=c++17', file, '-o', join(folder, 'probe'), ...options];
      await promisify(execFile)(found, args, { env });
      return undefined;
    } catch (error) {
      return `\`${compiler} ${options.join(' ')}\` fails: ${firstErrorOf(error)}`;
    } finally {
      await rm(folder, { recursive: true });
    }
  };
}

const EMPTY = 'int main() { return 0; }\n';

function firstErrorOf(error) {
  const lines = (error.stderr ?? '').split('\n').filter(Boolean);
  return lines.find((line) => /error|cannot find|No such file/i.test(line)) ?? lines[0] ?? error.message;
}
