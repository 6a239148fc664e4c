import { createReadStream } from 'node:fs';
import { Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { feedInput } from '../src/feed-input.js';

/**
 * The input of a command that reads once, and then no more: as an agent tells of it while the command still
 * runs.
 */
function readsOnce(end: 'fails with EPIPE' | 'is closed'): Writable {
  const stdin: Writable = new Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, onWritten) {
      if (end === 'is closed') stdin.destroy();
      else onWritten(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    },
  });
  return stdin.on('error', () => undefined);
}

async function* pieces(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(100_000);
}

const sources = {
  'a generator': pieces,
  'a stream of a generator': () => Readable.from(pieces()),
  'a file': () => createReadStream('/dev/zero'),
};

describe.each(['fails with EPIPE', 'is closed'] as const)('input of a command whose end %s', (end) => {
  it.each(Object.entries(sources))('is no failure of %s', async (_name, source) => {
    expect(await feedInput(source(), readsOnce(end))).toBeUndefined();
  });
});
