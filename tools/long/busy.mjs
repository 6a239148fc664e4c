// Runs a command while every processor is kept busy by a loop of ordinary priority: node tools/long/busy.mjs
// COMMAND ARGUMENT...
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { main, spawnInherited } from '../setup/run.mjs';

// The loop looks whether its parent lives, so that no loop stays behind when this is killed.
const LOOP = `
  const parent = process.ppid;
  for (;;) {
    const until = Date.now() + 1000;
    while (Date.now() < until);
    if (process.ppid !== parent) process.exit();
  }`;

await main(async () => {
  const [program, ...args] = process.argv.slice(2);
  const loops = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ['-e', LOOP], { stdio: 'ignore' }),
  );
  try {
    return await spawnInherited(program, args);
  } finally {
    for (const loop of loops) loop.kill('SIGKILL');
  }
});
