import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Tests run the TypeScript sources of every package: the condition below picks `src`, not `dist`.
export const sourceConditions = ['@microvm/source', 'module', 'node', 'development|production'];

const ROOT = import.meta.dirname;

/** Every folder of ours that has tests. */
const folders = [
  'native',
  ...['packages', 'tools', 'examples'].flatMap((parent) =>
    readdirSync(join(ROOT, parent)).map((name) => join(parent, name)),
  ),
].filter((folder) => existsSync(join(ROOT, folder, 'test')));

/** The package's name, which `--project` takes; the folder's where there is no package. */
function nameOf(folder: string): string {
  const manifest = join(ROOT, folder, 'package.json');
  if (!existsSync(manifest)) return folder;
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { name: string }).name;
}

/**
 * A busy machine makes the gate slower, never red: tests wait for events and states, and these limits only
 * end a test that would never end. No test sets a shorter one of its own.
 */
const NEVER_MS = 15 * 60_000;

export default defineConfig({
  ssr: { resolve: { conditions: sourceConditions } },
  test: {
    projects: folders.map((folder) => ({
      extends: true as const,
      root: join(ROOT, folder),
      test: { name: nameOf(folder), include: ['test/**/*.test.{ts,mjs}'] },
    })),
    testTimeout: NEVER_MS,
    hookTimeout: NEVER_MS,
    teardownTimeout: NEVER_MS,
    expect: { poll: { timeout: NEVER_MS / 3 } },
    // Most tests wait for processes, disks and guests: one file at a time would leave the processors idle.
    maxWorkers: 2,
    reporters: ['default', join(ROOT, 'tools', 'setup', 'count-reporter.mjs')],
  },
});
