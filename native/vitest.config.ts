import { defineProject } from 'vitest/config';

// eslint-disable-next-line no-restricted-exports -- vitest takes nothing else
export default defineProject({
  test: { name: '@microvm/native', include: ['test/**/*.test.ts'], testTimeout: 60_000 },
});
