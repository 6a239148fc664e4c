import Table from 'cli-table3';
import type { Aim, Measurement, Side } from './dimension.js';
import { pairedDifference, pairedRatio, summarize, type Summary } from './statistics.js';

/** A measurement with what follows from its samples. */
export interface Row extends Measurement {
  readonly summary: { readonly ours: Summary; readonly theirs?: Summary };
  readonly ratio?: number;
  /** In place of the ratio, where the aim is one. */
  readonly difference?: number;
  /** Absent where there is no aim, and where it was not judged. */
  readonly met?: boolean;
}

/**
 * Without `isJudged` nothing is said about the aim: a few samples of a small size are no measurement of it.
 */
export function toRow(measurement: Measurement, { isJudged }: { readonly isJudged: boolean }): Row {
  const { met, ...row } = judge(measurement);
  return isJudged && met !== undefined ? { ...row, met } : row;
}

function judge(measurement: Measurement): Row {
  const { ours, theirs, aim } = measurement;
  const summary = summarize(ours.samples);
  if (theirs === undefined) {
    const row = { ...measurement, summary: { ours: summary } };
    return aim.kind === 'value' ? { ...row, met: summary.median <= aim.atMost } : row;
  }
  const summaries = { ours: summary, theirs: summarize(theirs.samples) };
  if (aim.kind === 'difference') {
    const difference = pairedDifference(ours.samples, theirs.samples);
    return { ...measurement, summary: summaries, difference, met: difference <= aim.atMost };
  }
  const ratio = pairedRatio(ours.samples, theirs.samples);
  const row = { ...measurement, summary: summaries, ratio };
  if (aim.kind === 'report') return row;
  return { ...row, met: (aim.kind === 'ratio' ? ratio : summary.median) <= aim.atMost };
}

/** The rows that were judged and do not meet their aim. */
export function shortRows(rows: readonly Row[]): readonly Row[] {
  return rows.filter(({ met }) => met === false);
}

function significant(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

function sideCell(side: Side, summary: Summary, unit: string): string {
  const { median, min, max } = summary;
  return `${side.label}\n${significant(median)} ${unit} (${significant(min)}–${significant(max)})`;
}

function aimCell(aim: Aim, unit: string): string {
  if (aim.kind === 'report') return '–';
  if (aim.kind === 'difference') return `≤ + ${String(aim.atMost)} ${unit}`;
  return aim.kind === 'ratio' ? `≤ ${String(aim.atMost)}×` : `≤ ${String(aim.atMost)} ${unit}`;
}

function ratioCell({ ratio, difference, unit }: Row): string {
  if (difference !== undefined)
    return `${difference < 0 ? '−' : '+'} ${significant(Math.abs(difference))} ${unit}`;
  return ratio === undefined ? '–' : `${significant(ratio)}×`;
}

/** The table for people. `color` false leaves out all escape sequences. */
export function formatTable(rows: readonly Row[], color: boolean): string {
  const table = new Table({
    head: ['row', 'ours: median (min–max)', 'against: median (min–max)', 'ratio', 'aim', 'met'],
    ...(color ? {} : { style: { head: [], border: [] } }),
  });
  for (const row of rows) {
    const { ours, theirs } = row.summary;
    table.push([
      row.name,
      sideCell(row.ours, ours, row.unit),
      row.theirs === undefined || theirs === undefined ? '–' : sideCell(row.theirs, theirs, row.unit),
      ratioCell(row),
      aimCell(row.aim, row.unit),
      row.met === undefined ? '–' : row.met ? 'yes' : 'no',
    ]);
  }
  return table.toString();
}
