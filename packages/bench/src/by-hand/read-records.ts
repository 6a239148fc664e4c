import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { timeMs } from '../interleave.js';

/** Milliseconds to read and parse the records of all VMs in a state directory. */
export async function readRecordsByHand(stateDir: string, expected: number): Promise<number> {
  const folder = join(stateDir, 'vms');
  let records: unknown[] = [];
  const tookMs = await timeMs(async () => {
    const names = await readdir(folder);
    records = await Promise.all(
      names.map(async (name) => JSON.parse(await readFile(join(folder, name, 'vm.json'), 'utf8')) as unknown),
    );
  });
  if (records.length !== expected) throw new Error(`read ${String(records.length)} records by hand`);
  return tookMs;
}
