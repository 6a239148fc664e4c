import { defineProject } from 'vitest/config';

export default defineProject({
  ssr: { resolve: { conditions: ['@microvm/source', 'module', 'node', 'development|production'] } },
  test: { include: ['test/**/*.test.ts'] },
});
