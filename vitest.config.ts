import { defineConfig } from 'vitest/config';

// Tests run the TypeScript sources of every package: the condition below picks `src`, not `dist`.
export const sourceConditions = ['@microvm/source', 'module', 'node', 'development|production'];

export default defineConfig({
  ssr: { resolve: { conditions: sourceConditions } },
  test: {
    projects: ['native', 'packages/*', 'tools/*', 'examples/*'],
    reporters: ['default', './tools/setup/count-reporter.mjs'],
  },
});
