import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { VM_FILES } from '../src/host/paths.js';
import { beginLife, FIRST_LIFE, readLife } from '../src/vm/life.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-life-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

it('a life begins at the end of the console, and the next owner reads it', async () => {
  const folder = await makeFolder();
  expect(await readLife(folder)).toEqual(FIRST_LIFE);
  await writeFile(join(folder, VM_FILES.console), 'five\n');
  const life = await beginLife(folder);
  expect(life).toEqual({ lifeId: expect.stringMatching(/^[0-9a-f]{16}$/) as string, consoleStartBytes: 5 });
  expect(await readLife(folder)).toEqual(life);
});

it('a file that is cut at any byte says nothing, and is no error', async () => {
  const folder = await makeFolder();
  await beginLife(folder);
  const path = join(folder, VM_FILES.life);
  const text = await readFile(path, 'utf8');
  for (let length = 0; length < text.length; length += 1) {
    await writeFile(path, text.slice(0, length));
    expect(await readLife(folder), `the first ${length} bytes`).toEqual(FIRST_LIFE);
  }
});

it.each([
  ['zeros', '\0'.repeat(64)],
  ['another value', '[]'],
  ['another field', '{"lifeId":"a","consoleStartBytes":0,"more":1}'],
  ['a place before the console', '{"lifeId":"a","consoleStartBytes":-1}'],
  ['a place that is no number', '{"lifeId":"a","consoleStartBytes":1e999}'],
])('a file with %s says nothing, and is no error', async (_, text) => {
  const folder = await makeFolder();
  await writeFile(join(folder, VM_FILES.life), text);
  expect(await readLife(folder)).toEqual(FIRST_LIFE);
});
