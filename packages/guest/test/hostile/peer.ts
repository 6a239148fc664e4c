import type { Socket } from 'node:net';
import { encodeFrame, FrameDecoder, makeFrame } from '../../src/codec.js';
import type { Frame } from '../../src/codec.js';
import { decodeHello, encodeHelloAck } from '../../src/messages.js';
import type { HelloAck } from '../../src/messages.js';
import { FrameType, ProtocolError } from '../../src/protocol.js';
import { encodeMark, MarkScanner } from '../../src/sync.js';
import { decodeFrames } from '../decode-frames.js';

/**
 * The hostile agent's end of one connection: it hears what the host says and says whatever its mode wants.
 */
export class Peer {
  readonly #socket: Socket;
  readonly #scanner = new MarkScanner();
  readonly #decoder = new FrameDecoder();
  readonly #heard: Frame[] = [];
  #isGreeted = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#onData(chunk);
    });
    // A host that cuts the connection is what most modes end with.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#wake());
  }

  /** The next frame of the host; undefined when the connection is over. */
  async hear(type?: FrameType): Promise<Frame | undefined> {
    for (;;) {
      const frame = this.#heard.shift();
      if (frame !== undefined && (type === undefined || frame.type === type)) return frame;
      if (frame !== undefined) continue;
      if (this.#socket.destroyed) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Waits for HELLO and answers it. */
  async greet(lies: Partial<HelloAck> = {}, epoch = 1): Promise<void> {
    const hello = await this.hear(FrameType.hello);
    if (hello === undefined) return;
    const { session } = decodeHello(hello.payload);
    const info = { agentVersion: 'hostile', epoch: 1, kernelRelease: 'k', isFrozen: false, isInit: true };
    const honest = { version: 2, lowestVersion: 2, highestVersion: 2, maxStreams: 256, inputWindow: 65_536 };
    const ack = encodeHelloAck({ session, ...honest, info, ...lies });
    await this.say(encodeMark(session), frame(FrameType.helloAck, 0, ack, epoch));
  }

  /** Answers the HELLO of this session with these bytes and nothing else. */
  async mark(): Promise<Buffer> {
    const hello = await this.hear(FrameType.hello);
    return hello === undefined ? Buffer.alloc(0) : encodeMark(decodeHello(hello.payload).session);
  }

  /** Says bytes and waits until the host's kernel has them; false when the connection is over. */
  async say(...bytes: Buffer[]): Promise<boolean> {
    if (this.#socket.destroyed) return false;
    const whole = Buffer.concat(bytes);
    await new Promise<void>((resolve) => {
      this.#socket.once('close', resolve);
      this.#socket.write(whole, () => {
        this.#socket.off('close', resolve);
        resolve();
      });
    });
    return !this.#socket.destroyed;
  }

  /** Says the same bytes for as long as the host listens. */
  async flood(bytes: Buffer): Promise<void> {
    while (await this.say(bytes));
  }

  /** From now on nothing of the host is read. */
  turnDeaf(): void {
    this.#socket.pause();
  }

  hangUp(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    let bytes = chunk;
    if (!this.#isGreeted) {
      const mark = this.#scanner.push(chunk);
      if (mark === undefined) return;
      this.#isGreeted = true;
      bytes = mark.rest;
    }
    try {
      this.#heard.push(...decodeFrames(this.#decoder, bytes));
    } catch (error) {
      // The mark of a HELLO that the host says again, in the middle of frames. No mode needs what comes
      // behind it.
      if (!(error instanceof ProtocolError)) throw error;
    }
    this.#wake();
  }
}

/** One frame's bytes. */
export function frame(type: FrameType, stream: number, payload?: Buffer, epoch = 1): Buffer {
  return encodeFrame(makeFrame(type, stream, epoch, payload));
}

/** The same frames again and again, some 64 KiB of them: as long as one read of the host. */
export function many(...frames: readonly Buffer[]): Buffer {
  const once = Buffer.concat(frames);
  return Buffer.concat(Array.from({ length: Math.ceil(65_536 / once.length) }, () => once));
}
