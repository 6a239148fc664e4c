import { readFile } from 'node:fs/promises';
import { FIRECRACKER_SETTINGS } from '@microvm/firecracker';
import { QEMU_SETTINGS } from '@microvm/qemu';
import { expect, it } from 'vitest';

it.each([
  ['qemu', QEMU_SETTINGS],
  ['firecracker', FIRECRACKER_SETTINGS],
])('the README of %s lists every setting as it is', async (driver, settings) => {
  const readme = await readFile(new URL(`../../${driver}/README.md`, import.meta.url), 'utf8');
  const rows = readme
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  for (const { option, env, default: fallback, meaning } of settings) {
    const row = rows.find(([, name]) => name === `\`${option}\``);
    expect(row?.slice(2, 5), option).toEqual([`\`${env}\``, `\`${fallback}\``, meaning]);
  }
});
