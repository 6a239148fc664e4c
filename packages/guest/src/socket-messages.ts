import type { ConnectTarget } from '@microvm/runtime';
import { inRange, read } from './messages.js';
import { PayloadWriter } from './payload.js';
import type { PayloadReader } from './payload.js';
import { MAX_HOST_BYTES, MAX_SOCKET_PATH_BYTES, ProtocolError, StreamKind, TargetKind } from './protocol.js';

function writeTarget(out: PayloadWriter, target: ConnectTarget): PayloadWriter {
  if ('path' in target) return out.u8(TargetKind.unix).text(target.path);
  if ('vsockPort' in target) return out.u8(TargetKind.vsock).u32(target.vsockPort);
  return out
    .u8(TargetKind.internet)
    .text(target.host ?? '127.0.0.1')
    .u16(target.port);
}

function readTarget(input: PayloadReader): ConnectTarget {
  const kind = input.u8();
  if (kind === TargetKind.unix) return { path: input.text(MAX_SOCKET_PATH_BYTES) };
  if (kind === TargetKind.vsock) return { vsockPort: input.u32() };
  if (kind !== TargetKind.internet) throw new ProtocolError(`target of kind ${kind}`);
  const host = input.text(MAX_HOST_BYTES);
  return { host, port: inRange(input.u16(), 1, 0xffff) };
}

export function encodeConnect(target: ConnectTarget): Buffer {
  return writeTarget(new PayloadWriter().u8(StreamKind.connect), target).done();
}

export function decodeConnect(body: Buffer): ConnectTarget {
  return read(body, (input) => {
    inRange(input.u8(), StreamKind.connect, StreamKind.connect);
    return readTarget(input);
  });
}

/** A listener as OPEN says it. */
export interface ListenMessage {
  readonly target: ConnectTarget;
  /** Of a unix socket's file. */
  readonly mode: number;
}

export function encodeListen({ target, mode }: ListenMessage): Buffer {
  return writeTarget(new PayloadWriter().u8(StreamKind.listen), target).u16(mode).done();
}

export function decodeListen(body: Buffer): ListenMessage {
  return read(body, (input) => {
    inRange(input.u8(), StreamKind.listen, StreamKind.listen);
    return { target: readTarget(input), mode: inRange(input.u16(), 0, 0o777) };
  });
}

/** A connection that waits at a listener, as OPEN says it. */
export interface AcceptMessage {
  readonly listener: number;
  readonly connection: number;
}

export function encodeAccept({ listener, connection }: AcceptMessage): Buffer {
  return new PayloadWriter().u8(StreamKind.accept).u32(listener).u32(connection).done();
}

export function decodeAccept(body: Buffer): AcceptMessage {
  return read(body, (input) => {
    inRange(input.u8(), StreamKind.accept, StreamKind.accept);
    return { listener: input.u32(), connection: input.u32() };
  });
}

export function encodeClosed(isReset: boolean): Buffer {
  return Buffer.of(isReset ? 1 : 0);
}

/** How a connection ended: true by a reset. */
export function decodeClosed(payload: Buffer): boolean {
  return read(payload, (input) => inRange(input.u8(), 0, 1) === 1);
}
