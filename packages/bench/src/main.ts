#!/usr/bin/env node
import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { chooseDimensions, DIMENSIONS } from './dimensions.js';
import { runFresh } from './fresh-process.js';
import { formatTable, shortRows, toRow, type Row } from './report.js';
import { describeSurroundings } from './surroundings.js';

interface CliOptions {
  readonly quick?: boolean;
  readonly json?: string;
  readonly strict?: boolean;
}

const list = DIMENSIONS.map(({ name, description }) => `  ${name.padEnd(18)} ${description}`).join('\n');

async function bench(names: readonly string[], { quick = false, json, strict = false }: CliOptions) {
  const chosen = chooseDimensions(names);
  const surroundings = await describeSurroundings();
  const rows: Row[] = [];
  for (const { name, execArgv } of chosen) {
    process.stderr.write(`${name}\n`);
    const measurements = await runFresh('dimension', { name, quick }, execArgv);
    rows.push(...measurements.map((measurement) => toRow(measurement, { isJudged: !quick })));
  }
  const { machine, kernel, node, qemu, commit } = surroundings;
  process.stdout.write(
    `${formatTable(rows, process.stdout.isTTY && process.env['NO_COLOR'] === undefined)}\n`,
  );
  process.stdout.write(
    'ratio: median of the ratios of the pairs, which were measured one right after the other\n',
  );
  process.stdout.write(
    `${machine.cpu}, ${String(machine.cores)} cores, ${String(machine.memoryMib)} MiB; Linux ${kernel}; Node ${node}; ${qemu ?? 'no QEMU'}; commit ${commit ?? 'unknown'}${quick ? '; --quick: shows that it runs, not how fast; no aim is judged' : ''}\n`,
  );
  if (json !== undefined)
    await writeFile(json, `${JSON.stringify({ surroundings, quick, rows }, null, 2)}\n`);
  const short = shortRows(rows);
  if (!strict || short.length === 0) return;
  process.stderr.write(`bench: short of the aim: ${short.map(({ name }) => name).join('; ')}\n`);
  process.exitCode = 1;
}

await new Command('bench')
  .description(`Measures us side by side with the bare thing, as ratios.\n\n${list}`)
  .argument('[name...]', 'benchmarks to run, or a group such as native; default: all')
  .option('--quick', 'few samples and small sizes: shows that it runs')
  .option('--strict', 'ends with exit code 1 when a row is short of its aim')
  .option('--json <file>', 'also write surroundings, rows and raw samples to this file')
  .action(bench)
  .parseAsync()
  .catch((error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
