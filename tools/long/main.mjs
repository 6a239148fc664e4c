import { main, run, step, StepFailed } from '../setup/run.mjs';
import { describeRuns, LONG_RUNS } from './long-runs.mjs';

await main(async () => {
  const names = process.argv.slice(2);
  if (names.length === 0) return void console.log(`Usage: npm run long -- NAME...\n\n${describeRuns()}`);
  const unknown = names.find((name) => !Object.hasOwn(LONG_RUNS, name));
  if (unknown !== undefined) throw new StepFailed(`no "${unknown}"; there are\n${describeRuns()}`);
  for (const name of names) {
    await step(name, async () => {
      const { commands, env = {} } = LONG_RUNS[name];
      for (const [program, ...args] of commands) await run(program, args, { env });
    });
  }
});
