import { defineProject } from 'vitest/config';

// eslint-disable-next-line no-restricted-exports -- vitest takes nothing else
export default defineProject({
  test: {
    name: '@microvm/packaging',
    include: ['test/**/*.test.ts'],
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
  },
});
