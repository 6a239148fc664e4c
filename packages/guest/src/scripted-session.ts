import type { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder, makeFrame } from './codec.js';
import type { Frame } from './codec.js';
import { decodeHello, encodeHelloAck } from './messages.js';
import type { AgentInfo } from './messages.js';
import { PayloadWriter } from './payload.js';
import { FLAG_MORE, FrameType, INPUT_WINDOW, LONG_MESSAGES, MAX_STREAMS, ProtocolError } from './protocol.js';
import { encodeMark, MarkScanner } from './sync.js';

/** What a session needs of its guest. */
export interface SessionOwner {
  info(): AgentInfo;
  /** A frame of a stream that is open; false: there is no such stream. */
  onStreamFrame(frame: Frame): boolean;
  /** A request, whole. */
  onRequest(frame: Frame): void;
  /** The session is over: its streams are gone. */
  onDrop(): void;
}

/** The guest's end of one connection: from bytes to requests, and answers back. */
export class ScriptedSession {
  readonly #stream: Duplex;
  readonly #owner: SessionOwner;
  readonly #version: number;
  readonly #scanner = new MarkScanner();
  #decoder: FrameDecoder | undefined;
  #id: Buffer | undefined;
  #isOpen = false;
  #lastStream = 0;
  /** A message whose other frames are still to come. */
  #begun: { readonly type: FrameType; readonly stream: number; readonly parts: Buffer[] } | undefined;
  #outputWindow = 0;

  /** `version` of the protocol is the only one that it speaks. */
  constructor(stream: Duplex, owner: SessionOwner, version: number) {
    this.#stream = stream;
    this.#version = version;
    this.#owner = owner;
    stream.on('data', (chunk: Buffer) => {
      this.#receive(chunk);
    });
    const onGone = (): void => {
      this.close();
    };
    stream.on('end', onGone).on('close', onGone).on('error', onGone);
  }

  /** Names the session that is open, for answers that come later. */
  get id(): Buffer | undefined {
    return this.#isOpen ? this.#id : undefined;
  }

  get outputWindow(): number {
    return this.#outputWindow;
  }

  send(type: FrameType, stream: number, payload?: Buffer): void {
    if (!this.#isOpen) return;
    this.#stream.write(encodeFrame(makeFrame(type, stream, this.#owner.info().epoch, payload)));
  }

  close(): void {
    this.#drop();
    // The stream is ended, not only destroyed, or the other end of a pair in this process would not learn of
    // it.
    this.#stream.end(() => this.#stream.destroy());
  }

  #receive(chunk: Buffer): void {
    try {
      let bytes = chunk;
      if (this.#decoder === undefined) {
        const mark = this.#scanner.push(chunk);
        if (mark === undefined) return;
        this.#id = mark.session;
        this.#decoder = new FrameDecoder();
        bytes = mark.rest;
      }
      this.#decoder.push(bytes);
      // A frame may end the session, and the decoder with it.
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder?.next())
        this.#onFrame(frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.send(FrameType.reset, 0, new PayloadWriter().text(error.message.slice(0, 200)).done());
      this.#drop();
    }
  }

  #drop(): void {
    if (this.#isOpen) this.#owner.onDrop();
    this.#decoder = undefined;
    this.#begun = undefined;
    this.#isOpen = false;
    this.#lastStream = 0;
  }

  #onFrame(frame: Frame): void {
    if (!this.#isOpen) {
      this.#onHello(frame);
      return;
    }
    const { epoch } = this.#owner.info();
    if (frame.epoch > epoch) throw new ProtocolError('epoch of the future');
    if (frame.stream === 0) throw new ProtocolError('frame outside of a stream');
    if (frame.epoch < epoch || this.#owner.onStreamFrame(frame)) return;
    const begun = this.#begun;
    if (begun !== undefined && (begun.stream !== frame.stream || begun.type !== frame.type)) {
      throw new ProtocolError('message not finished');
    }
    if (begun === undefined && frame.stream <= this.#lastStream) return;
    this.#lastStream = frame.stream;
    const maxBytes = LONG_MESSAGES.get(frame.type);
    if (maxBytes === undefined) this.#owner.onRequest(frame);
    else this.#onPart(frame, maxBytes);
  }

  #onPart(frame: Frame, maxBytes: number): void {
    this.#begun ??= { type: frame.type, stream: frame.stream, parts: [] };
    this.#begun.parts.push(Buffer.from(frame.payload));
    const payload = Buffer.concat(this.#begun.parts);
    if (payload.length > maxBytes) throw new ProtocolError('message too long');
    if ((frame.flags & FLAG_MORE) !== 0) return;
    this.#begun = undefined;
    this.#owner.onRequest({ ...frame, payload });
  }

  #onHello(frame: Frame): void {
    if (frame.type !== FrameType.hello || this.#id === undefined) throw new ProtocolError('no HELLO');
    const hello = decodeHello(frame.payload);
    if (!hello.session.equals(this.#id)) throw new ProtocolError('HELLO for another session');
    const version = this.#version;
    const isCommon = hello.lowestVersion <= version && version <= hello.highestVersion;
    this.#outputWindow = hello.outputWindow;
    const ack = encodeHelloAck({
      session: hello.session,
      version: isCommon ? version : 0,
      lowestVersion: version,
      highestVersion: version,
      maxStreams: MAX_STREAMS,
      inputWindow: INPUT_WINDOW,
      info: this.#owner.info(),
    });
    this.#isOpen = true;
    this.#stream.write(encodeMark(hello.session));
    this.send(FrameType.helloAck, 0, ack);
    this.#isOpen = isCommon;
  }
}
