import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';

const SURFACE = join(import.meta.dirname, '../surface/index.ts');
const CALLS = { addon: 'native.bootId()', executable: 'native.watcherPath()' };

const cases = (['esm', 'cjs'] as const).flatMap((format) =>
  Object.entries(CALLS).map(([what, call]) => ({ format, what, call })),
);

test.each(cases)(
  'in a bundle, $format, the $what is missed with an error that says what to do',
  async (each) => {
    const folder = await mkdtemp(join(tmpdir(), 'microvm-bundle-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const program = `
    import * as native from ${JSON.stringify(SURFACE)};
    try { console.log(${each.call}); } catch (error) { console.log(error.code, error.message); }`;
    await writeFile(join(folder, 'program.ts'), program);
    const outfile = join(folder, 'dist', each.format === 'esm' ? 'bundle.mjs' : 'bundle.cjs');
    await build({
      ...{ entryPoints: [join(folder, 'program.ts')], outfile, format: each.format },
      ...{ bundle: true, platform: 'node', logLevel: 'silent' },
    });
    const { stdout } = await promisify(execFile)(process.execPath, [outfile]);
    expect(stdout).toMatch(
      /^MICROVM_NATIVE_NOT_LOADED @microvm\/native does not load on .*: its files are missing\n/,
    );
    expect(stdout).toContain('--external:@microvm/*');
    expect(stdout).not.toContain('npm run build');
  },
);
