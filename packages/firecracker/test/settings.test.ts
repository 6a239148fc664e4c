import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { FIRECRACKER_SETTINGS } from '../src/index.js';

it('the README lists every setting as it is', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const rows = readme
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  for (const { option, env, default: fallback, meaning } of FIRECRACKER_SETTINGS) {
    const row = rows.find(([, name]) => name === `\`${option}\``);
    expect(row?.slice(2, 5), option).toEqual([`\`${env}\``, `\`${fallback}\``, meaning]);
  }
});
