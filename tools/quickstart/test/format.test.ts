import { expect, it } from 'vitest';
import { formatBytes, formatMs } from '../src/format.js';

it('shows durations in the unit that fits', () => {
  expect([0.4, 57.2, 999, 1930, 61_000].map(formatMs)).toEqual([
    '0.4 ms',
    '57 ms',
    '999 ms',
    '1.93 s',
    '61.00 s',
  ]);
});

it('shows sizes in binary units', () => {
  expect([0, 512, 58_740, 68_359_954, 128 * 2 ** 20].map(formatBytes)).toEqual([
    '0 B',
    '512 B',
    '57.4 KiB',
    '65.2 MiB',
    '128 MiB',
  ]);
});
