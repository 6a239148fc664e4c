import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { installLine, missingRequirements, REQUIREMENTS } from '../packages.mjs';

const nothingInstalled = async () => new Set();

async function folderWith(programs, mode = 0o755) {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-setup-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const program of programs) {
    await writeFile(join(folder, program), '');
    await chmod(join(folder, program), mode);
  }
  return folder;
}

const PROGRAMS = REQUIREMENTS.map(({ program }) => program).filter((program) => program !== undefined);
const hasFile = () => true;

function names(requirements) {
  return requirements.map((requirement) => requirement.package);
}

test('with every program in PATH nothing is missing, and dpkg is not asked', async () => {
  const path = await folderWith(PROGRAMS);
  const installed = () => Promise.reject(new Error('asked'));
  expect(await missingRequirements({ path, hasFile, installed })).toEqual([]);
});

test('a program in none of two folders is missing, unless its package is installed', async () => {
  const path = [
    await folderWith(['g++']),
    await folderWith(PROGRAMS.filter((name) => name !== 'qemu-system-x86_64' && name !== 'g++')),
  ].join(':');
  expect(names(await missingRequirements({ path, hasFile, installed: nothingInstalled }))).toEqual([
    'qemu-system-x86',
  ]);
  expect(
    await missingRequirements({ path, hasFile, installed: async () => new Set(['qemu-system-x86']) }),
  ).toEqual([]);
});

test('a file that cannot be executed is no program', async () => {
  const path = [
    await folderWith(['g++'], 0o644),
    await folderWith(PROGRAMS.filter((name) => name !== 'g++')),
  ].join(':');
  expect(names(await missingRequirements({ path, hasFile, installed: nothingInstalled }))).toEqual(['g++']);
});

test('a file that a package brings is looked for by its path', async () => {
  const path = await folderWith(PROGRAMS);
  const options = { path, installed: nothingInstalled, hasFile: () => false };
  expect(names(await missingRequirements(options))).toEqual(['libssl-dev']);
});

test('the line for other users than root is one line', () => {
  expect(installLine(['g++', 'cmake'])).toBe(
    'sudo apt-get update && sudo apt-get install -y --no-install-recommends g++ cmake',
  );
});
