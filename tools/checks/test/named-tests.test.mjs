import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const FILES = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).split('\n');

/** What a page names: a test's file, and the titles that are quoted behind it. */
function references(text) {
  // A line that goes on with a paragraph or an item belongs to the line before it.
  const lines = text.replaceAll(/\n(?![-|#\n])\s*/g, ' ').split('\n');
  return lines.flatMap((line) => {
    const parts = line.split(/`([^`]+\.(?:test\.ts|test\.mjs|cc)|suites\/[^`]+\.ts)`/);
    return parts.flatMap((part, index) =>
      index % 2 === 1 ? [{ file: part, titles: quoted(parts[index + 1] ?? '') }] : [],
    );
  });
}

function quoted(text) {
  const behind = /^ ("[^"]+"(?:, )?)+/.exec(text)?.[0] ?? '';
  return [...behind.matchAll(/"([^"]+)"/g)].map(([, title]) => title.replace(/ ?…$/, ''));
}

/** By its path from the root or from `packages/`, or by the end of it. */
function contentOf(file) {
  const found = FILES.filter((path) => path === file || path.endsWith(`/${file}`));
  return found.map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n');
}

function missing(text) {
  return references(text).flatMap(({ file, titles }) => {
    const content = contentOf(file);
    if (content === '') return [`no file ${file}`];
    return titles.filter((title) => !content.includes(title)).map((title) => `no "${title}" in ${file}`);
  });
}

it.each([
  ['hardening.md', 40],
  ['cancellation.md', 20],
])('every test that docs/%s names is there', (page, least) => {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8');
  expect(references(text).length).toBeGreaterThan(least);
  expect(missing(text)).toEqual([]);
});

it('a file or a title that is gone is found', () => {
  expect(missing('| `turns.test.ts` "a title that nobody wrote …" and `no/such.test.ts` |')).toEqual([
    'no "a title that nobody wrote" in turns.test.ts',
    'no file no/such.test.ts',
  ]);
});
