import { AgentFailure } from './agent-failure.js';
import type { Frame } from './codec.js';
import type { CallOptions } from './deadline.js';
import { decodeFailed } from './messages.js';
import { PayloadReader } from './payload.js';
import { FrameType, ProtocolError } from './protocol.js';

export interface RequestOptions<T> extends CallOptions {
  readonly operation: string;
  /** The frame type that is an answer, besides FAILED. */
  readonly answer: FrameType;
  decode(payload: Buffer): T;
  /** With an OK that answers a THAW, the epoch that it begins. */
  readonly nextEpoch?: number;
  /** The answer came, also when the caller had given up by then. */
  readonly onAnswer?: (answer: { readonly isOk: boolean; readonly isLate: boolean }) => void;
}

/** For requests that are only confirmed. */
export const CONFIRMED = {
  answer: FrameType.ok,
  decode(payload: Buffer): void {
    new PayloadReader(payload).end();
  },
} as const;

interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Settles a request by the frame that answers it. Throws a `ProtocolError` for a frame that is no answer. */
export function settleRequest<T>(frame: Frame, options: RequestOptions<T>, settle: Settle<T>): void {
  if (frame.type === FrameType.failed) {
    const { errno, step } = decodeFailed(frame.payload);
    settle.reject(new AgentFailure(options.operation, step, errno));
  } else if (frame.type === options.answer) {
    settle.resolve(options.decode(frame.payload));
  } else {
    throw new ProtocolError(`frame type ${frame.type} for an answer`);
  }
}
