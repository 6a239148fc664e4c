import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const tsx = createRequire(import.meta.url).resolve('tsx');
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url));

it('boots a VM, restores it twice with its counter, renames one and stops the first', async () => {
  const { stdout } = await run(process.execPath, ['--import', tsx, '--conditions=@microvm/source', source], {
    env: { ...process.env, MICROVM_DRIVER: 'qemu' },
  });
  const lines = stdout.trim().split('\n');
  expect(lines[0]).toMatch(/^Linux microvm .* x86_64 GNU\/Linux$/);
  const counts = lines
    .slice(1, 4)
    .map((line) => Number(/^vm-[0-9a-f]{16} counts on: (\d+)$/.exec(line)?.[1]));
  expect(counts).toHaveLength(3);
  for (const count of counts) expect(count).toBeGreaterThan(0);
  expect(lines[4]).toMatch(/^tenant-7 goes on, vm-[0-9a-f]{16} had a graceful stop$/);
  expect(lines).toHaveLength(5);
});
