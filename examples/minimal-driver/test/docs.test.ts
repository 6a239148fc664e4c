import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const GUIDE = await readFile(join(ROOT, 'docs', 'writing-a-driver.md'), 'utf8');

interface Block {
  readonly file: string;
  readonly lines: readonly string[];
}

/** Without the indentation, which follows the list that a block is in. */
function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The code blocks of the guide, each with the file that its first line names. */
function blocksIn(markdown: string): Block[] {
  return [...markdown.matchAll(/```ts\n(.*?)```/gs)].map(([, text = '']) => {
    const [first = '', ...lines] = linesOf(text);
    return { file: first.replace('// ', ''), lines };
  });
}

const blocks = blocksIn(GUIDE);

it.each(blocks)('the guide shows $file as it is', async ({ file, lines }) => {
  const source = linesOf(await readFile(join(ROOT, file), 'utf8')).join('\n');
  expect(lines).not.toEqual([]);
  expect(source).toContain(lines.join('\n'));
});

it('the guide leads through every file of the example but its index', async () => {
  const files = [...GUIDE.matchAll(/`(src\/[\w/.-]+)`/g)].map(([, file = '']) => file);
  const found = await Promise.all(
    files.map((file) => readFile(join(ROOT, 'examples', 'minimal-driver', file))),
  );
  expect(found).toHaveLength(files.length);
  const sources = await listSources();
  expect(sources.filter((file) => !files.includes(file))).toEqual(['src/index.ts']);
});

async function listSources(): Promise<string[]> {
  const folder = join(ROOT, 'examples', 'minimal-driver', 'src');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join('src', entry.parentPath.slice(folder.length), entry.name))
    .sort();
}
