import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { main, ROOT, StepFailed } from '../setup/run.mjs';
import { sourceFiles } from './source-files.mjs';

/** Columns of a line of prose, and of a cell of a table: what can be read without losing the line. */
const WIDTH = 110;

const SOURCES = /\.(ts|mts|mjs|js|cc|h|c)$/;
/** A line that is a comment, or code with a comment behind it. The blank before `//` leaves out addresses. */
const COMMENT = /^\s*(\/\*|\*|\/\/)|\s\/\/\s/;

/**
 * Lines of prose that are too wide: comments in code; text and cells of tables in Markdown. What cannot be
 * broken, such as a long link, may be wider, and so may blocks of code.
 *
 * @returns {Promise<string[]>} a line for each: the place and what is too wide there
 */
export async function wideProse(root) {
  const files = await sourceFiles(root, (path) => SOURCES.test(path) || path.endsWith('.md'));
  const found = await Promise.all(
    files.map(async (path) => {
      const lines = (await readFile(join(root, path), 'utf8')).split('\n');
      const wide = path.endsWith('.md') ? wideMarkdown(lines) : wideComments(lines);
      return wide.map(({ line, what }) => `${path}:${line}: ${what}`);
    }),
  );
  return found.flat();
}

function wideComments(lines) {
  return lines.flatMap((text, index) =>
    COMMENT.test(text) && isTooWide(text) ? [{ line: index + 1, what: `${text.length} columns` }] : [],
  );
}

function wideMarkdown(lines) {
  let isCode = false;
  return lines.flatMap((text, index) => {
    if (text.trimStart().startsWith('```')) isCode = !isCode;
    if (isCode) return [];
    const line = index + 1;
    if (/^[\s|:-]+$/.test(text)) return [];
    if (!text.trimStart().startsWith('|')) {
      return isTooWide(text) ? [{ line, what: `${text.length} columns` }] : [];
    }
    const widest = Math.max(...text.split(/(?<!\\)\|/).map((cell) => cell.trim().length));
    return widest > WIDTH ? [{ line, what: `a cell of ${widest} characters: write a list` }] : [];
  });
}

/**
 * A line is too wide where it could be broken: it has a blank before the last column, after its first word.
 */
function isTooWide(text) {
  if (text.length <= WIDTH) return false;
  const start = /^[\s/*#>-]*/.exec(text)[0].length;
  return text.slice(start, WIDTH).includes(' ');
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    const wide = await wideProse(ROOT);
    if (wide.length > 0) throw new StepFailed(`prose wider than ${WIDTH} columns:\n${wide.join('\n')}`);
  });
}
