import type { OperationOptions } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { JOB_CALLS, JOB_METHODS } from '../calls.js';
import { refusal, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { isMethodSupported } from '../support.js';

const BAD_OPTIONS: readonly (readonly [title: string, options: unknown, path: string, hint?: string])[] = [
  ['an unknown key', { timeout: 5 }, 'options.timeout', 'timeoutMs'],
  ['a time-out of nothing', { timeoutMs: 0 }, 'options.timeoutMs'],
  ['a negative time-out', { timeoutMs: -5 }, 'options.timeoutMs'],
  ['a time-out that is not a number', { timeoutMs: Number.NaN }, 'options.timeoutMs'],
  ['a time-out as a text', { timeoutMs: '5' }, 'options.timeoutMs'],
  ['a signal that is none', { signal: {} }, 'options.signal'],
  ['an empty idempotency key', { idempotencyKey: '' }, 'options.idempotencyKey'],
  ['an idempotency key of 256 characters', { idempotencyKey: 'k'.repeat(256) }, 'options.idempotencyKey'],
  ['a listener that is no function', { onProgress: 'yes' }, 'options.onProgress'],
  ['a job listener that is no function', { onJob: {} }, 'options.onJob'],
  ['null', null, 'options'],
  ['a number', 5, 'options'],
];

/** What every verb takes last. */
export function registerOptions(fixture: ProviderFixture): void {
  describe('options', () => {
    const methods = JOB_METHODS.filter((method) =>
      isMethodSupported(fixture.capabilities, method, 'created'),
    );
    for (const [title, options, path, hint] of BAD_OPTIONS) {
      test(`every verb refuses ${title}, before it looks for the VM`, async () => {
        const runtime = await fixture.open();
        await withoutEffect(runtime, async () => {
          for (const method of methods) {
            const call = JOB_CALLS[method](runtime, fixture.newId(), options as OperationOptions);
            const error = await refusal('MICROVM_INVALID_ARGUMENT', call);
            expect(error.details.path, method).toBe(path);
            if (hint !== undefined) expect(error.details.expected).toContain(hint);
          }
        });
      });
    }
    test('options that are undefined count as not given', async () => {
      const runtime = await fixture.open();
      const options = {
        signal: undefined,
        timeoutMs: undefined,
        idempotencyKey: undefined,
        onProgress: undefined,
      };
      const view = await runtime.createVmWithSpec(fixture.newId(), fixture.spec(), {
        ...options,
        onJob: undefined,
      });
      expect(view.state).toBe('created');
    });
  });
}
