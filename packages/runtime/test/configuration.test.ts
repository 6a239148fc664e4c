import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { COMMON_SETTINGS, commonOptionsShape, isVmRuntimeError, resolveOptions } from '../src/index.js';

const schema = z.strictObject(commonOptionsShape);

function resolve(options: unknown, env: Record<string, string> = {}): unknown {
  return resolveOptions(schema, COMMON_SETTINGS, options, env);
}

function problemPath(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT')) return error.details.path;
    throw error;
  }
  return undefined;
}

describe('resolveOptions', () => {
  it('takes an option before the environment', () => {
    expect(resolve({ concurrency: 3 }, { MICROVM_CONCURRENCY: '7' })).toEqual({ concurrency: 3 });
  });

  it('takes the environment where no option is given', () => {
    const env = { MICROVM_CONCURRENCY: '7', MICROVM_STATE_DIR: '/s', MICROVM_DEFAULTS: '{"memSizeMib":64}' };
    expect(resolve(undefined, env)).toEqual({ concurrency: 7, stateDir: '/s', defaults: { memSizeMib: 64 } });
  });

  it.each([
    ['MICROVM_CONCURRENCY', 'many'],
    ['MICROVM_CONCURRENCY', '0'],
    ['MICROVM_CONCURRENCY', ''],
    ['MICROVM_STATE_DIR', 'relative'],
    ['MICROVM_DEFAULTS', '{'],
    ['MICROVM_DEFAULTS', '{"memSizeMib":"64"}'],
  ])('refuses %s=%s and names the variable', (name, value) => {
    expect(problemPath(() => resolve({}, { [name]: value }))).toContain(name);
  });

  it.each([
    [{ concurency: 1 }, 'options.concurency'],
    [{ concurrency: 0 }, 'options.concurrency'],
    [{ stateDir: 'relative' }, 'options.stateDir'],
    [{ defaults: { memSizeMib: 1 } }, 'options.defaults.memSizeMib'],
    [{ onStep: 1 }, 'options.onStep'],
    ['options', 'options'],
  ])('refuses %j and names %s', (options, path) => {
    expect(problemPath(() => resolve(options))).toBe(path);
  });
});
