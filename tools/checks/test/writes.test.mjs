import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../../setup/run.mjs';
import { fileWrites } from '../file-writes.mjs';
import { REVIEWED, unreviewedWrites } from '../reviewed-writes.mjs';

const calls = (text) => fileWrites('a.ts', text).map(({ call }) => call);

test('nothing that has to do with state writes a file that a power cut may take back, but what was reviewed', async () => {
  expect(await unreviewedWrites(ROOT)).toEqual([]);
});

test('every reviewed call has its reason', () => {
  for (const { file, why, calls: reviewed } of REVIEWED) {
    expect(why, file).toMatch(/\w/);
    expect(reviewed.length, file).toBeGreaterThan(0);
  }
});

test.each([
  ['node:fs/promises', 'writeFile', `writeFile(path, text)`],
  ['fs', 'renameSync', `renameSync(from, to)`],
  ['node:fs/promises', 'copyFile as copy', `copy(from, to)`],
  ['@microvm/native', 'copyFile', `copyFile(from, to)`],
  ['node:fs', 'createWriteStream', `createWriteStream(path)`],
  ['node:fs/promises', 'open', `open(path, 'w')`],
  ['node:fs/promises', 'open', `open(path, flags)`],
  ['node:fs', 'open', `promisify(open)`],
  ['node:fs/promises', 'link', `names.map(link)`],
  ['node:fs/promises', 'writeFile', 'writeFile(\n  path,\n  text,\n)', 'writeFile(path, text)'],
])('from %s, `%s` in `%s` is found', (module, name, text, call = text) => {
  expect(calls(`import { ${name} } from '${module}';\n${text};`)).toEqual([call]);
});

test.each([
  [`import * as fs from 'node:fs';`, 'fs.writeFileSync(path, text)'],
  [`import fs from 'node:fs/promises';`, 'fs.rename(from, to)'],
  [`import { promises } from 'node:fs';`, 'promises.truncate(path)'],
  [`import * as native from '@microvm/native';`, 'native.copyFile(from, to)'],
])('behind `%s`, `%s` is found', (line, call) => {
  expect(calls(`${line}\n${call};`)).toEqual([call]);
});

test.each([
  [`import { open } from 'node:fs/promises';\nopen(path, 'r'); open(path);`],
  [
    `import { constants, open } from 'node:fs/promises';\nopen(path, constants.O_RDONLY | constants.O_NOFOLLOW);`,
  ],
  [`import { readFile, rm } from 'node:fs/promises';\nreadFile(path); rm(path);`],
  [
    `import { putDurable, writeDurable } from '@microvm/native';\nputDurable({ copy: a }, b); writeDurable(a, b);`,
  ],
  [`import { rename } from './names.js';\nrename(from, to);`],
  [
    `import { rename } from 'node:fs/promises';\nfleet.rename(vm); type R = typeof rename; const x = { rename: 1 };`,
  ],
  [`runtime.copyFile(a, b); // import { writeFile } from 'node:fs'; writeFile(a, b)`],
])('`%s` writes nothing', (text) => {
  expect(calls(text)).toEqual([]);
});

/** A tree with one file. */
async function treeWith(file, text) {
  const root = await mkdtemp(join(tmpdir(), 'microvm-checks-'));
  onTestFinished(() => rm(root, { recursive: true }));
  await mkdir(dirname(join(root, file)), { recursive: true });
  await writeFile(join(root, file), text);
  return root;
}

const PLAIN = `import { writeFile } from 'node:fs/promises';\nawait writeFile(path, text);\n`;

test('a new write is found where state is written, and only there', async () => {
  expect(await unreviewedWrites(await treeWith('packages/qemu/src/vm/new.ts', PLAIN), [])).toEqual([
    'packages/qemu/src/vm/new.ts:2: writeFile(path, text) is not on the reviewed list',
  ]);
  for (const file of ['packages/qemu/test/new.ts', 'packages/bench/src/new.ts', 'tools/new.mjs'])
    expect(await unreviewedWrites(await treeWith(file, PLAIN), [])).toEqual([]);
});

test('a reviewed write that is gone is found', async () => {
  const file = 'packages/qemu/src/vm/new.ts';
  const reviewed = [{ file, why: 'planted', calls: ['writeFile(path, text)', 'rename(a, b)'] }];
  expect(await unreviewedWrites(await treeWith(file, PLAIN), reviewed)).toEqual([
    `${file}: rename(a, b) is on the reviewed list and gone`,
  ]);
});
