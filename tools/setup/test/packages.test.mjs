import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { describe as tell, installLine, missingRequirements, packagesOf } from '../packages.mjs';
import { compiles, program } from '../probes.mjs';
import { GATE_REQUIREMENTS, SETUP_REQUIREMENTS } from '../requirements.mjs';

/** A folder with programs, each a shell script. */
async function folderWith(scripts, mode = 0o755) {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-setup-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, name), mode);
  }
  return folder;
}

const NEEDED = { package: 'a-package', purpose: 'does something', probe: program('microvm-no-such-program') };

test('every requirement is met where the tests run', async () => {
  expect(tell(await missingRequirements(GATE_REQUIREMENTS))).toBe('');
});

test('a program in any folder of PATH will do', async () => {
  const path = `/nowhere:${await folderWith({ 'microvm-no-such-program': '' })}`;
  expect(await missingRequirements([NEEDED], path)).toEqual([]);
});

test('a program that is missing is told with its package and what it is for', async () => {
  expect(tell(await missingRequirements([NEEDED]))).toBe(
    '  a-package does something: no program microvm-no-such-program in PATH',
  );
});

test('a file that cannot be executed is no program', async () => {
  const path = await folderWith({ 'microvm-no-such-program': '' }, 0o644);
  expect(packagesOf(await missingRequirements([NEEDED], path))).toEqual(['a-package']);
});

test('a clang without libFuzzer, as apt-get installs it without recommended packages, is found out', async () => {
  const ERROR = '/usr/bin/ld: cannot find /usr/lib/clang/14/lib/linux/libclang_rt.fuzzer-x86_64.a';
  const clang = await folderWith({
    'clang++': `case "$*" in *fuzzer*) echo "${ERROR}" >&2; exit 1;; esac`,
  });
  const missing = await missingRequirements(GATE_REQUIREMENTS, `${clang}:${process.env.PATH}`);
  expect(packagesOf(missing)).toEqual(['libclang-rt-14-dev']);
  expect(tell(missing)).toContain(`fails: ${ERROR}`);
});

test('a compiler without the static C++ library, or without headers of OpenSSL, is found out', async () => {
  const failing = (pattern, error) =>
    folderWith({ 'g++': `case "$*" in *${pattern}*) echo "${error}" >&2; exit 1;; esac` });
  const noStatic = await failing('-static', 'ld: cannot find -lstdc++');
  const noCrypto = await failing('libcrypto', 'fatal error: openssl/sha.h: No such file or directory');
  const path = (folder) => `${folder}:${process.env.PATH}`;
  expect(packagesOf(await missingRequirements(SETUP_REQUIREMENTS, path(noStatic)))).toEqual(['g++']);
  expect(packagesOf(await missingRequirements(SETUP_REQUIREMENTS, path(noCrypto)))).toEqual(['libssl-dev']);
});

test('a probe compiles for real', async () => {
  expect(await compiles('g++', [])(process.env.PATH)).toBeUndefined();
  expect(await compiles('g++', ['-lmicrovm-no-such-library'])(process.env.PATH)).toContain('cannot find');
  expect(await compiles('g++', [], 'int main() { return nothing; }')(process.env.PATH)).toContain('nothing');
});

test('two things of one package install it once', () => {
  expect(packagesOf([NEEDED, { ...NEEDED, purpose: 'does more' }])).toEqual(['a-package']);
});

test('the line for other users than root is one line', () => {
  expect(installLine(['g++', 'cmake'])).toBe(
    'sudo apt-get update && sudo apt-get install -y --no-install-recommends g++ cmake',
  );
});
