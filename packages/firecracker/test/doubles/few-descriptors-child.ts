import { closeSync, openSync } from 'node:fs';
import { isVmRuntimeError, type VmRuntime } from '@microvm/runtime';
import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

// Opens a state directory with ever more descriptors to spare, from none on, until an open succeeds; says how each open ended.
const [stateDir = ''] = process.argv.slice(2);
const defaults = await imageDefaults();
const open = (folder: string): Promise<VmRuntime> =>
  createFirecrackerRuntime({ ...DOUBLES, stateDir: folder, defaults });

function takeAll(): number[] {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    // None is left.
  }
  return taken;
}

// What is loaded late needs descriptors too, and is not what is tried here.
await open(`${stateDir}-warm`).then((runtime) => runtime.close());
const failures: unknown[] = [];
let adopted: unknown;
for (let spare = 0; adopted === undefined; spare += 1) {
  const taken = takeAll();
  for (const fd of taken.splice(0, spare)) closeSync(fd);
  try {
    const runtime = await open(stateDir);
    adopted = runtime.recovery;
    for (const fd of taken.splice(0)) closeSync(fd);
    await runtime.close();
  } catch (error) {
    failures.push(isVmRuntimeError(error) ? error.toJSON() : { message: String(error) });
  }
  for (const fd of taken) closeSync(fd);
}
process.send?.({ failures, adopted });
process.disconnect();
