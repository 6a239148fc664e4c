import { spawn } from 'node:child_process';
import { delimiter } from 'node:path';
import { programFolders, StepFailed } from '../setup/run.mjs';

/** Runs a program and returns its standard output; fails with the end of what it said otherwise. */
export async function capture(program, args, { input, encoding = 'utf8', cwd } = {}) {
  const env = { ...process.env, PATH: programFolders().join(delimiter), LC_ALL: 'C.UTF-8' };
  const child = spawn(program, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
  // One that ends without reading all of its input is judged by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const collect = async (stream) => Buffer.concat(await stream.toArray());
  const closed = new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new StepFailed(`\`${program}\` did not start: ${error.message}`)));
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  const [code, stdout, stderr] = await Promise.all([closed, collect(child.stdout), collect(child.stderr)]);
  if (code !== 0)
    throw new StepFailed(`\`${program}\` ended with ${code}: ${stderr.toString().trim().slice(-2000)}`);
  return encoding === 'buffer' ? stdout : stdout.toString();
}
