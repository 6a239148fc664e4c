import { expect, it } from 'vitest';
import type { Measurement } from '../src/dimension.js';
import { formatTable, shortRows, toRow } from '../src/report.js';

const JUDGED = { isJudged: true };
const twice: Measurement = {
  name: 'twice',
  unit: 'ms',
  ours: { label: 'ours', samples: [2, 4, 6] },
  theirs: { label: 'bare', samples: [1, 2, 3] },
  aim: { kind: 'ratio', atMost: 2 },
  parameters: {},
};

it('judges a ratio by its aim', () => {
  expect(toRow(twice, JUDGED)).toMatchObject({ ratio: 2, met: true });
  expect(toRow({ ...twice, aim: { kind: 'ratio', atMost: 1.9 } }, JUDGED)).toMatchObject({
    ratio: 2,
    met: false,
  });
});

it('judges a value by its median', () => {
  const { theirs: _, ...alone } = twice;
  expect(toRow({ ...alone, aim: { kind: 'value', atMost: 4 } }, JUDGED)).toMatchObject({ met: true });
  expect(toRow({ ...alone, aim: { kind: 'value', atMost: 3.9 } }, JUDGED)).toMatchObject({ met: false });
});

it('judges a difference by the median of the pairs', () => {
  const busy: Measurement = { ...twice, aim: { kind: 'difference', atMost: 2 } };
  expect(toRow(busy, JUDGED)).toMatchObject({ difference: 2, met: true });
  expect(toRow({ ...busy, aim: { kind: 'difference', atMost: 1.9 } }, JUDGED)).toMatchObject({ met: false });
  expect(formatTable([toRow(busy, JUDGED)], false)).toContain('+ 2.00 ms');
});

it('judges nothing that has no aim', () => {
  const row = toRow({ ...twice, aim: { kind: 'report' } }, JUDGED);
  expect(row.ratio).toBe(2);
  expect(row.met).toBeUndefined();
});

it('shows name, medians, spread, ratio, aim and verdict', () => {
  const table = formatTable([toRow(twice, JUDGED)], false);
  for (const text of ['twice', '4.00 ms (2.00–6.00)', '2.00 ms (1.00–3.00)', '2.00×', '≤ 2×', 'yes']) {
    expect(table).toContain(text);
  }
});

it('judges nothing of a quick run', () => {
  const row = toRow(twice, { isJudged: false });
  expect(row.ratio).toBe(2);
  expect(row.met).toBeUndefined();
  expect(formatTable([row], false)).not.toContain('yes');
});

it('names the rows that are short of their aim, and none that was not judged', () => {
  const short = { ...twice, name: 'short', aim: { kind: 'ratio', atMost: 1 } } as const;
  const rows = [toRow(twice, JUDGED), toRow(short, JUDGED), toRow(short, { isJudged: false })];
  expect(shortRows(rows).map(({ name }) => name)).toEqual(['short']);
});
