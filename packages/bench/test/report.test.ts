import { expect, it } from 'vitest';
import type { Measurement } from '../src/dimension.js';
import { formatTable, toRow } from '../src/report.js';

const twice: Measurement = {
  name: 'twice',
  unit: 'ms',
  ours: { label: 'ours', samples: [2, 4, 6] },
  theirs: { label: 'bare', samples: [1, 2, 3] },
  aim: { kind: 'ratio', atMost: 2 },
  parameters: {},
};

it('judges a ratio by its aim', () => {
  expect(toRow(twice)).toMatchObject({ ratio: 2, met: true });
  expect(toRow({ ...twice, aim: { kind: 'ratio', atMost: 1.9 } })).toMatchObject({ ratio: 2, met: false });
});

it('judges a value by its median', () => {
  const { theirs: _, ...alone } = twice;
  expect(toRow({ ...alone, aim: { kind: 'value', atMost: 4 } })).toMatchObject({ met: true });
  expect(toRow({ ...alone, aim: { kind: 'value', atMost: 3.9 } })).toMatchObject({ met: false });
});

it('judges nothing that has no aim', () => {
  const row = toRow({ ...twice, aim: { kind: 'report' } });
  expect(row.ratio).toBe(2);
  expect(row.met).toBeUndefined();
});

it('shows name, medians, spread, ratio, aim and verdict', () => {
  const table = formatTable([toRow(twice)], false);
  for (const text of ['twice', '4.00 ms (2.00–6.00)', '2.00 ms (1.00–3.00)', '2.00×', '≤ 2×', 'yes']) {
    expect(table).toContain(text);
  }
});
