import { expect, test } from 'vitest';
import { runProgram } from '../../src/host/program.js';

test('a program whose line the caller does not like has ended when the call has', async () => {
  let pid = 0;
  const onOutputLine = (line: string): void => {
    pid = Number(line);
    throw new Error('not that');
  };
  const running = runProgram('sh', ['-c', 'echo $$; yes'], { onOutputLine });
  await expect(running).rejects.toThrow('not that');
  expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
});
