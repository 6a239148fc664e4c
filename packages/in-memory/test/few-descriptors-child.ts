import { closeSync, openSync } from 'node:fs';
import { isVmRuntimeError } from '@microvm/runtime';
import { createInMemoryRuntime } from '../src/index.js';

// Opens a state directory with ever more descriptors to spare, from none on, until an open succeeds; says how each open ended.
const [stateDir = ''] = process.argv.slice(2);

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
await createInMemoryRuntime({ stateDir: `${stateDir}-warm` }).then((runtime) => runtime.close());
const failures: unknown[] = [];
for (let spare = 0; ; spare += 1) {
  const taken = takeAll();
  for (const fd of taken.splice(0, spare)) closeSync(fd);
  const outcome = await createInMemoryRuntime({ stateDir }).catch((error: unknown) => error);
  for (const fd of taken) closeSync(fd);
  if (!(outcome instanceof Error)) {
    await (outcome as Awaited<ReturnType<typeof createInMemoryRuntime>>).close();
    break;
  }
  failures.push(isVmRuntimeError(outcome) ? outcome.toJSON() : { message: String(outcome) });
}
process.send?.(failures);
process.disconnect();
