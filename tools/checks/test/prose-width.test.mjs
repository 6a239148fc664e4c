import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../../setup/run.mjs';
import { wideProse } from '../prose-width.mjs';

const WIDE = 'words '.repeat(20).trim();
const LINK = `[a](https://example.org/${'x'.repeat(120)})`;

async function wideIn(name, text) {
  const root = await mkdtemp(join(tmpdir(), 'microvm-prose-'));
  onTestFinished(() => rm(root, { recursive: true }));
  await mkdir(join(root, name, '..'), { recursive: true });
  await writeFile(join(root, name), text);
  return wideProse(root);
}

test('no prose in this tree is wider than a line', async () => {
  expect(await wideProse(ROOT)).toEqual([]);
});

test.each([
  ['a line of Markdown', 'a.md', `# Title\n\n${WIDE}\n`, ['a.md:3: 119 columns']],
  [
    'a cell of a table',
    'docs/a.md',
    `| a | ${WIDE} |\n`,
    ['docs/a.md:1: a cell of 119 characters: write a list'],
  ],
  ['a comment of its own', 'a.ts', `\n// ${WIDE}\n`, ['a.ts:2: 122 columns']],
  ['a line of a block', 'src/a.mjs', `/**\n * ${WIDE}\n */\n`, ['src/a.mjs:2: 122 columns']],
  ['a comment behind code', 'a.cc', `int a; // ${WIDE}\n`, ['a.cc:1: 129 columns']],
])('%s that is too wide is found, with its place', async (_name, file, text, found) => {
  expect(await wideIn(file, text)).toEqual(found);
});

test.each([
  ['a block of code in Markdown', 'a.md', `\`\`\`\n${WIDE}\n\`\`\`\n`],
  ['a link that cannot be broken', 'a.md', `- ${LINK}\n`],
  ['an address in a comment', 'a.ts', `// https://example.org/${'x'.repeat(120)}\n`],
  ['code without a comment', 'a.ts', `const a = '${WIDE}';\n`],
  ['several narrow cells', 'a.md', `| ${'word '.repeat(15)} | ${'word '.repeat(15)} |\n`],
])('%s may be wider', async (_name, file, text) => {
  expect(await wideIn(file, text)).toEqual([]);
});
