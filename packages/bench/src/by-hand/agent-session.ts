import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { crc32 } from 'node:zlib';

// The least that speaks to the agent (docs/guest-protocol.md): one HELLO, one EXEC, no flow control, no
// retries. It is deliberately not `@microvm/guest`: it stands for what somebody would write by hand.
const PREAMBLE = Buffer.from('F38A1CD56E42B907E15D902BC47FA638', 'hex');
const MAGIC = Buffer.from('MVFR', 'latin1');
const HEADER_BYTES = 24;
const OUTPUT_WINDOW_BYTES = 65_536;
const TYPE = { hello: 0x01, exec: 0x10, helloAck: 0x81, exit: 0x93, failed: 0xa1 } as const;

interface Frame {
  readonly type: number;
  readonly epoch: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Runs one command over a fresh connection to the agent; resolves with its exit code. */
export async function execByHand(socket: Socket, argv: readonly string[]): Promise<number> {
  const session = randomBytes(16);
  const frames = readFrames(socket, Buffer.concat([PREAMBLE, session]));
  const window = Buffer.alloc(8);
  window.writeUInt16LE(1, 0);
  window.writeUInt16LE(1, 2);
  window.writeUInt32LE(OUTPUT_WINDOW_BYTES, 4);
  const hello = frame({ type: TYPE.hello, epoch: 0, stream: 0, payload: Buffer.concat([session, window]) });
  socket.write(Buffer.concat([PREAMBLE, session, hello]));
  const greeting = await nextFrame(frames, [TYPE.helloAck]);
  socket.write(frame({ type: TYPE.exec, epoch: greeting.epoch, stream: 1, payload: execPayload(argv) }));
  const end = await nextFrame(frames, [TYPE.exit, TYPE.failed]);
  if (end.type === TYPE.failed)
    throw new Error(`run ${argv.join(' ')} in the guest: ${end.payload.toString('latin1')}`);
  return end.payload.readUInt8(1);
}

function frame({ type, epoch, stream, payload }: Frame): Buffer {
  const header = Buffer.alloc(20);
  MAGIC.copy(header);
  header.writeUInt8(type, 4);
  header.writeUInt32LE(epoch, 8);
  header.writeUInt32LE(stream, 12);
  header.writeUInt32LE(payload.length, 16);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(payload, crc32(header)));
  return Buffer.concat([header, sum, payload]);
}

function execPayload(argv: readonly string[]): Buffer {
  const count = Buffer.alloc(2);
  count.writeUInt16LE(argv.length);
  return Buffer.concat([count, ...argv.map(text), Buffer.alloc(2), text('/')]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

async function nextFrame(frames: AsyncIterator<Frame>, types: readonly number[]): Promise<Frame> {
  for (;;) {
    const next = await frames.next();
    if (next.done === true) throw new Error('the agent’s connection ended');
    if (types.includes(next.value.type)) return next.value;
  }
}

/** The frames behind the mark of this session; everything before it belongs to nobody. */
async function* readFrames(socket: Socket, mark: Buffer): AsyncGenerator<Frame, void, undefined> {
  let pending = Buffer.alloc(0);
  let isSynced = false;
  for await (const bytes of socket as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, bytes]);
    if (!isSynced) {
      const at = pending.indexOf(mark);
      if (at < 0) continue;
      isSynced = true;
      pending = pending.subarray(at + mark.length);
    }
    while (pending.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + pending.readUInt32LE(16);
      if (pending.length < end) break;
      yield {
        type: pending.readUInt8(4),
        epoch: pending.readUInt32LE(8),
        stream: pending.readUInt32LE(12),
        payload: pending.subarray(HEADER_BYTES, end),
      };
      pending = pending.subarray(end);
    }
  }
}
