import { expect, it } from 'vitest';
import { parseExecRequest } from '../src/exec-request.js';

it.each([8193, 70_000])('refuses a command of %i arguments as an argument, not as a range', (count) => {
  const argv = ['true', ...Array.from({ length: count - 1 }, () => 'x')] as [string, ...string[]];
  expect(() => parseExecRequest({ argv })).toThrow(
    expect.objectContaining({
      code: 'MICROVM_INVALID_ARGUMENT',
      details: expect.objectContaining({ path: 'argv' }) as unknown,
    }),
  );
});
