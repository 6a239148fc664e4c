import { toRow, formatTable } from './report.js';
const name = process.argv[2]!;
const m = (await import(`./dimensions/${name}.ts`))[name];
const rows = (await m.run({ quick: process.argv[3] === 'quick', log: console.error })).map(toRow);
console.log(formatTable(rows, false));
