import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder, makeFrame } from './codec.js';
import type { Frame } from './codec.js';
import { decodeHelloAck, encodeHello } from './messages.js';
import type { HelloAck } from './messages.js';
import { FrameType, OUTPUT_WINDOW, PROTOCOL_VERSION, ProtocolError, SESSION_ID_SIZE } from './protocol.js';
import { encodeMark, Scanner } from './sync.js';

const FIRST_RETRY_MS = 1_000;

/** The agent's answer and the decoder that goes on behind it, with the frames that came in the same chunk. */
export interface Greeting {
  readonly ack: HelloAck;
  readonly decoder: FrameDecoder;
  readonly frames: readonly Frame[];
}

/**
 * The client's half of the handshake: says HELLO, again with a new session id when it stays unanswered, and skips everything up
 * to the answer to the newest one.
 */
export class Handshake {
  readonly #stream: Duplex;
  #session: Buffer = Buffer.alloc(0);
  #scanner: Scanner | undefined;
  #decoder: FrameDecoder | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  start(): void {
    this.#hello(FIRST_RETRY_MS);
  }

  stop(): void {
    clearTimeout(this.#retry);
  }

  /** Takes what was received; answers the greeting once it is complete. Throws a `ProtocolError`. */
  push(chunk: Buffer): Greeting | undefined {
    let bytes: Buffer | undefined = chunk;
    if (this.#decoder === undefined) {
      bytes = this.#scanner?.push(chunk);
      if (bytes === undefined) return undefined;
      // The agent was reached: a newer id would only throw its answer away.
      this.stop();
      this.#decoder = new FrameDecoder();
    }
    const [first, ...frames] = this.#decoder.push(bytes);
    if (first === undefined) return undefined;
    if (first.type !== FrameType.helloAck) throw new ProtocolError('no HELLO_ACK after the mark');
    const ack = decodeHelloAck(first.payload);
    if (!ack.session.equals(this.#session)) throw new ProtocolError('HELLO_ACK for another session');
    if (ack.version !== PROTOCOL_VERSION) {
      const spoken = `${ack.lowestVersion} to ${ack.highestVersion}`;
      throw new ProtocolError(`the agent speaks protocol ${spoken}, this client ${PROTOCOL_VERSION}`);
    }
    return { ack, decoder: this.#decoder, frames };
  }

  #hello(retryMs: number): void {
    this.#session = randomBytes(SESSION_ID_SIZE);
    const mark = encodeMark(this.#session);
    this.#scanner = new Scanner(mark);
    const hello = encodeHello({
      session: this.#session,
      lowestVersion: PROTOCOL_VERSION,
      highestVersion: PROTOCOL_VERSION,
      outputWindow: OUTPUT_WINDOW,
    });
    this.#stream.write(Buffer.concat([mark, encodeFrame(makeFrame(FrameType.hello, 0, 0, hello))]));
    this.#retry = setTimeout(() => {
      this.#hello(retryMs * 2);
    }, retryMs);
  }
}
