import { DIMENSIONS } from './dimensions.js';
import { measureFleet } from './firecracker-fleet.js';
import { firstLife } from './firecracker-lives.js';
import type { FreshTasks } from './fresh-process.js';
import { memoryPerVm } from './memory-per-vm.js';

type Handlers = {
  [K in keyof FreshTasks]: (input: FreshTasks[K]['input']) => Promise<FreshTasks[K]['output']>;
};

const handlers: Handlers = {
  'memory-per-vm': memoryPerVm,
  'firecracker-fleet': measureFleet,
  'first-life': firstLife,
  dimension: async ({ name, quick }) => {
    const dimension = DIMENSIONS.find((candidate) => candidate.name === name);
    if (dimension === undefined) throw new Error(`no dimension "${name}"`);
    return dimension.run({ quick, log: (text) => process.stderr.write(`  ${text}\n`) });
  },
};

// Ctrl-C: what is removed at the exit of the process is removed then too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const [task, input = ''] = process.argv.slice(2);
const handler = Object.entries(handlers).find(([name]) => name === task)?.[1] as
  ((input: unknown) => Promise<unknown>) | undefined;
if (handler === undefined) throw new Error(`no task "${String(task)}"`);
const output = await handler(JSON.parse(input));
process.send?.(output, undefined, undefined, () => process.disconnect());
