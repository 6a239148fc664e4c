import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isVmRuntimeError } from '@microvm/runtime';
import type { GuestFiles } from '@microvm/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFileFailed } from '../src/files/file-message.js';
import { FileAnswer } from '../src/files/file-protocol.js';
import { PayloadWriter } from '../src/payload.js';
import type { ScriptedCommand } from '../src/scripted-command.js';
import { scriptedGuest } from './scripted-guest.js';

function message(type: number, body: Buffer = Buffer.alloc(0)): Buffer {
  return new PayloadWriter()
    .u32(body.length + 1)
    .u8(type)
    .raw(body)
    .done();
}

function entry(name: string, type = 8): Buffer {
  return new PayloadWriter().u8(type).text(name).done();
}

/** A guest whose file workers answer the first request with these bytes. */
async function lyingGuest(
  answer: Buffer | ((worker: ScriptedCommand) => Promise<void>),
): Promise<Awaited<ReturnType<typeof scriptedGuest>>> {
  return scriptedGuest({
    files: async (worker) => {
      for await (const _ of worker.stdin) {
        if (Buffer.isBuffer(answer)) await worker.stdout(answer);
        else await answer(worker);
      }
      return 0;
    },
  });
}

const CALLS: Readonly<Record<string, (files: GuestFiles) => Promise<unknown>>> = {
  stat: (files) => files.stat('/a'),
  readFile: (files) => files.readFile('/a'),
  writeFile: (files) => files.writeFile('/a', 'x'),
  readdir: (files) => files.readdir('/a', { recursive: true }),
  mkdir: (files) => files.mkdir('/a', { recursive: true }),
  realpath: (files) => files.realpath('/a'),
  rm: (files) => files.rm('/a'),
  read: async (files) => {
    const handle = await files.open('/a');
    return handle.read(Buffer.alloc(8)).finally(() => void handle.close().catch(() => undefined));
  },
  createReadStream: (files) => files.createReadStream('/a').toArray(),
};

/** That it broke the protocol costs the guest its session. */
async function expectCutOff(call: keyof typeof CALLS, answer: Buffer, reason: RegExp): Promise<void> {
  const { client } = await lyingGuest(answer);
  const error: unknown = await CALLS[call]?.(client.files).catch((failure: unknown) => failure);
  expect(error).toMatchObject({
    code: 'MICROVM_GUEST_UNREACHABLE',
    details: { reason: expect.anything() as unknown },
  });
  expect((error as Error).message).toMatch(reason);
  await client.closed;
}

describe('a guest whose file workers lie', () => {
  it.each<[keyof typeof CALLS, Buffer, RegExp]>([
    ['stat', message(FileAnswer.done), /too short/],
    ['stat', message(FileAnswer.done, Buffer.alloc(400)), /too long/],
    ['stat', message(FileAnswer.data, Buffer.from('x')), /content that nobody asked for/],
    ['stat', message(FileAnswer.entries, entry('x')), /entries that nobody asked for/],
    ['stat', message(0x99), /message type 153/],
    ['stat', Buffer.from('ffffffff80', 'hex'), /a message of 4294967295 bytes/],
    ['stat', Buffer.from('0000000080', 'hex'), /a message of 0 bytes/],
    ['rm', message(FileAnswer.done, Buffer.from('x')), /too long/],
    [
      'rm',
      message(FileAnswer.failed, encodeFileFailed({ errno: 0, syscall: 'rm', path: Buffer.alloc(0) })),
      /errno/,
    ],
    [
      'rm',
      message(FileAnswer.failed, encodeFileFailed({ errno: 1, syscall: 'r\u001bm', path: Buffer.alloc(0) })),
      /without a name/,
    ],
    [
      'rm',
      message(FileAnswer.failed, encodeFileFailed({ errno: 1, syscall: 'rm', path: Buffer.alloc(1) })),
      /NUL/,
    ],
    [
      'realpath',
      message(FileAnswer.done, new PayloadWriter().blob(Buffer.alloc(5_000)).done()),
      /5000 bytes/,
    ],
    ['readFile', message(FileAnswer.data), /no or too many bytes/],
    ['readFile', message(FileAnswer.data, Buffer.alloc(65_537)), /no or too many bytes/],
    ['readdir', message(FileAnswer.entries), /no entries/],
    ['readdir', message(FileAnswer.entries, entry('../x')), /no folder has/],
    ['readdir', message(FileAnswer.entries, entry('/etc/x')), /no folder has/],
    ['readdir', message(FileAnswer.entries, entry('x/./y')), /no folder has/],
    ['readdir', message(FileAnswer.entries, entry('')), /no folder has/],
    ['readdir', message(FileAnswer.entries, entry('x', 200)), /no folder has/],
    [
      'read',
      Buffer.concat([message(FileAnswer.done), message(FileAnswer.data, Buffer.alloc(9))]),
      /nobody asked for|nobody waits|more content/,
    ],
  ])('loses its session: %s, %#', (call, answer, reason) => expectCutOff(call, answer, reason));

  it('loses its session by an answer too many', async () => {
    const { client } = await lyingGuest(Buffer.concat([message(FileAnswer.done), message(FileAnswer.done)]));
    await client.files.rm('/a');
    await client.closed;
    await expect(client.ping()).rejects.toThrow(/nobody waits for/);
  });

  it('cannot have more kept of a file than the call may collect', async () => {
    const { client } = await lyingGuest(async (worker) => {
      const piece = message(FileAnswer.data, Buffer.alloc(65_536));
      while (!worker.signal.aborted) await worker.stdout(piece);
    });
    const reading = Promise.allSettled(Array.from({ length: 20 }, () => client.files.readFile('/endless')));
    for (const outcome of await reading) {
      expect(outcome).toMatchObject({
        reason: { code: 'MICROVM_OUTPUT_LIMIT', details: { limitBytes: 4 << 20 } },
      });
    }
  });

  it('cannot have more entries kept than the call may collect', async () => {
    const { client } = await lyingGuest(async (worker) => {
      const batch = message(
        FileAnswer.entries,
        Buffer.concat(Array.from({ length: 2_000 }, () => entry('n'))),
      );
      while (!worker.signal.aborted) await worker.stdout(batch);
    });
    await expect(client.files.readdir('/endless')).rejects.toMatchObject({ code: 'MICROVM_OUTPUT_LIMIT' });
  });

  it('cannot keep a call past its deadline, nor a stream past its end', async () => {
    const { client } = await lyingGuest(() => new Promise(() => undefined));
    const { files } = client;
    const limits = { timeoutMs: 1 };
    const calls = [
      () => files.stat('/a', limits),
      () => files.readFile('/a', limits),
      () => files.readdir('/a', limits),
      () => files.copyOut('/a', join(tmpdir(), 'never-made'), limits),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'MICROVM_TIMEOUT' });
    await expect(client.files.writeFile('/a', Buffer.alloc(1 << 20), { timeoutMs: 1 })).rejects.toMatchObject(
      {
        code: 'MICROVM_TIMEOUT',
      },
    );
    const stream = client.files.createWriteStream('/a', { timeoutMs: 1 });
    stream.write('x');
    expect(await once(stream, 'error')).toMatchObject([{ code: 'MICROVM_TIMEOUT' }]);
  });

  it('ends no call well by ending its worker', async () => {
    const { client } = await scriptedGuest({ files: () => 0 });
    for (const [name, call] of Object.entries(CALLS)) {
      const outcome: unknown = await call(client.files).catch((error: unknown) => error);
      expect(outcome, name).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    }
    await client.ping();
  });

  it('cannot bring a control character into the text of an error', async () => {
    const path = Buffer.from('/\u001b[2Jx');
    const failed = encodeFileFailed({ errno: 13, syscall: 'unlink', path });
    const { client } = await lyingGuest(message(FileAnswer.failed, failed));
    await expect(client.files.rm('/a', { recursive: true })).rejects.toMatchObject({
      ...{ code: 'EACCES', syscall: 'unlink', path: path.toString() },
      message: "EACCES: permission denied, unlink '/\\x1b[2Jx'",
    });
  });

  it('can say anything at all: every call ends with a typed error or an answer', async () => {
    const answers = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.constantFrom<number>(...Object.values(FileAnswer), 0x84), fc.uint8Array({ maxLength: 300 }))
        .map(([type, body]) => message(type, Buffer.from(body))),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(answers, { minLength: 1, maxLength: 4 }),
        fc.constantFrom(...Object.values(CALLS)),
        async (said, call) => {
          const { client } = await scriptedGuest({
            files: async (worker) => {
              for (const bytes of said) await worker.stdout(bytes);
              return 0;
            },
          });
          await call(client.files).catch((error: unknown) => {
            const isNode =
              error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
            expect(isNode || isVmRuntimeError(error)).toBe(true);
          });
          client.close();
        },
      ),
      { numRuns: 300 },
    );
  });
});
