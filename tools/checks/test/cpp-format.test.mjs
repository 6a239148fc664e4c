import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../../setup/run.mjs';
import { formatCpp } from '../cpp-format.mjs';

async function treeWith(files) {
  const root = await mkdtemp(join(tmpdir(), 'microvm-format-'));
  onTestFinished(() => rm(root, { recursive: true }));
  await copyFile(join(ROOT, '.clang-format'), join(root, '.clang-format'));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(root, name, '..'), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return root;
}

const GOOD = 'int Sum(int a, int b) { return a + b; }\n';

test('a C++ file that is not formatted is found, with its place', async () => {
  const root = await treeWith({ 'deep/in/bad.cc': `${GOOD}int  x;\n`, 'good.h': GOOD });
  expect(await formatCpp(root)).toEqual({ files: 2, problems: ['deep/in/bad.cc:2:4'] });
});

test('formatting it mends it, and what is built is left alone', async () => {
  const root = await treeWith({ 'bad.c': 'int  x;\n', 'build/made.cc': 'int  y;\n' });
  await formatCpp(root, { write: true });
  expect(await formatCpp(root)).toEqual({ files: 1, problems: [] });
  expect(await readFile(join(root, 'bad.c'), 'utf8')).toBe('int x;\n');
  expect(await readFile(join(root, 'build/made.cc'), 'utf8')).toBe('int  y;\n');
});
