import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { expect, it, onTestFinished } from 'vitest';

const SOURCE = join(import.meta.dirname, '../src/agent-binary.ts');

it.each(['esm', 'cjs'] as const)(
  'in a bundle, %s, the agent’s path is an error that says what to do',
  async (format) => {
    const folder = await mkdtemp(join(tmpdir(), 'microvm-bundle-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const program = `
    import { agentBinaryPath } from ${JSON.stringify(SOURCE)};
    try { console.log(agentBinaryPath()); } catch (error) { console.log(error.message); }`;
    await writeFile(join(folder, 'program.ts'), program);
    const outfile = join(folder, 'dist', format === 'esm' ? 'bundle.mjs' : 'bundle.cjs');
    await build({
      ...{ entryPoints: [join(folder, 'program.ts')], outfile, format },
      ...{ bundle: true, platform: 'node', logLevel: 'silent' },
    });
    const { stdout } = await promisify(execFile)(process.execPath, [outfile]);
    expect(stdout).toMatch(
      /^find the guest agent: @microvm\/guest was put into a bundle .*--external:@microvm\/\*/,
    );
  },
);
