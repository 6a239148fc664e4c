import { expect, it } from 'vitest';
import { VmRuntimeError } from '../src/index.js';
import { Job } from '../src/engine/job.js';

it('keeps of an error in the record only so much as every later write of the record can carry', () => {
  const job = new Job({ kind: 'stopVm', vmId: 'a', request: '', options: {} }, Date.now);
  const said = 'x'.repeat(60 << 20);
  const details = { exitCode: 1, signal: null, lastLogLines: [said, 'short'] };
  const { error } = job.failure(new VmRuntimeError('MICROVM_VMM_EXITED', said, { details }));
  expect(JSON.stringify(error).length).toBeLessThan(64 * 1024);
  expect(error).toMatchObject({ code: 'MICROVM_VMM_EXITED', details: { exitCode: 1, signal: null } });
});
