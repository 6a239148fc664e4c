import { defineConfig } from 'vitest/config';

// Tests run the TypeScript sources of every package: the condition below picks `src`, not `dist`.
export const sourceConditions = ['@microvm/source', 'module', 'node', 'development|production'];

export default defineConfig({
  ssr: { resolve: { conditions: sourceConditions } },
  test: {
    projects: ['native', 'packages/*', 'tools/*', 'examples/*'],
    // Most tests wait for processes, disks and guests: one file at a time would leave the processors idle.
    maxWorkers: 2,
    reporters: ['default', './tools/setup/count-reporter.mjs'],
  },
});
