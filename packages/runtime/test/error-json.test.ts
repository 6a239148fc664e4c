import { describe, expect, it } from 'vitest';
import { isVmRuntimeError, VmRuntimeError } from '../src/index.js';

function roundTrip(error: VmRuntimeError): VmRuntimeError {
  return VmRuntimeError.fromJSON(JSON.parse(JSON.stringify(error)));
}

describe('an error that was JSON', () => {
  it('is the error again: code, message, details, remedy, retryable', () => {
    const error = new VmRuntimeError('MICROVM_TIMEOUT', 'startVm "a": not done after 5 ms', {
      details: { operation: 'startVm "a"', timeoutMs: 5 },
      remedy: 'wait',
      retryable: false,
    });
    const again = roundTrip(error);
    expect(isVmRuntimeError(again, 'MICROVM_TIMEOUT')).toBe(true);
    expect(again).toBeInstanceOf(VmRuntimeError);
    expect(again.toJSON()).toEqual(error.toJSON());
    expect(again.cause).toBeUndefined();
  });

  it('has what was read of a command, byte by byte', () => {
    const result = {
      exitCode: null,
      signal: 'SIGKILL',
      stdout: Buffer.of(0, 255, 10),
      stderr: Buffer.alloc(0),
    };
    const error = new VmRuntimeError('MICROVM_TIMEOUT', 'exec: no end after 5 ms', {
      details: { operation: 'exec', timeoutMs: 5 },
      result,
    });
    expect(roundTrip(error).result).toEqual(result);
    expect(roundTrip(error).toJSON()).toEqual(error.toJSON());
    for (const wrong of [7, null, {}, { stdout: 'eA==' }, { stdout: 1, stderr: 2 }]) {
      expect(VmRuntimeError.fromJSON({ ...error.toJSON(), result: wrong }).result).toBeUndefined();
    }
  });

  it('has its causes: errors of ours, of the system, and several at once', () => {
    const system = Object.assign(new Error('ENOSPC: no space left'), {
      code: 'ENOSPC',
      errno: -28,
      syscall: 'write',
      path: '/state/vm.json',
    });
    const several = new AggregateError([system, new TypeError('odd')], 'both failed', { cause: 'a word' });
    const ours = new VmRuntimeError('MICROVM_NO_SPACE', 'no space', {
      details: { path: '/state' },
      cause: several,
    });
    const error = new VmRuntimeError('MICROVM_HOST_FAILURE', 'save', {
      details: { operation: 'save' },
      cause: ours,
    });
    const again = roundTrip(error);
    expect(again.toJSON()).toEqual(error.toJSON());
    const cause = again.cause as VmRuntimeError;
    expect(isVmRuntimeError(cause, 'MICROVM_NO_SPACE')).toBe(true);
    const both = cause.cause as AggregateError;
    expect(both).toBeInstanceOf(AggregateError);
    expect(both.errors).toMatchObject([
      { code: 'ENOSPC', errno: -28, syscall: 'write', path: '/state/vm.json' },
      { name: 'TypeError', message: 'odd' },
    ]);
    expect((both.cause as Error).message).toBe('a word');
  });

  it('has an end, although its causes lead back to it', () => {
    const error = new VmRuntimeError('MICROVM_CLOSED', 'closed', { details: { what: 'runtime' } });
    Object.defineProperty(error, 'cause', { value: error });
    expect(roundTrip(error)).toMatchObject({ code: 'MICROVM_CLOSED', cause: { code: 'MICROVM_CLOSED' } });
  });

  it.each([
    ['a code of a later version', { code: 'MICROVM_LATER', message: 'new' }, 'MICROVM_LATER: new'],
    ['no error at all', 7, 'unknown error: no message'],
    ['nothing', null, 'unknown error: no message'],
  ])('that is %s becomes a host failure that says so', (_what, json, message) => {
    expect(VmRuntimeError.fromJSON(json)).toMatchObject({ code: 'MICROVM_HOST_FAILURE', message });
  });
});
