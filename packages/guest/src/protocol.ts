/** The numbers of docs/guest-protocol.md. */

export const PROTOCOL_VERSION = 1;
export const HEADER_SIZE = 24;
export const MAX_PAYLOAD = 65_536;
export const SESSION_ID_SIZE = 16;
export const MAX_EXEC_BODY = 1 << 20;
export const MAX_EXEC_STRINGS = 8_192;
/** Commands that run at once in one session. */
export const MAX_STREAMS = 256;
/** Commands and requests of one session that the agent may leave without an answer. */
export const MAX_OPEN_STREAMS = 4_096;
/** Bytes of an older session that a client skips to find the mark of its own. */
export const MAX_SKIPPED_BYTES = 64 << 20;
export const MIN_WINDOW = 4_096;
export const MAX_WINDOW = 0x7fff_ffff;
/** What the client lets each output of a command hold at first. */
export const OUTPUT_WINDOW = 32 * 1024;
/** What the agent lets the standard input of a command hold. */
export const STDIN_WINDOW = 64 * 1024;
export const MAX_WAIT_MS = 600_000;
export const FLAG_MORE = 1;

/** `MVFR` as a little-endian number. */
export const MAGIC = 0x5246_564d;
export const PREAMBLE: Buffer = Buffer.from('f38a1cd56e42b907e15d902bc47fa638', 'hex');

export const FrameType = {
  hello: 0x01,
  ping: 0x02,
  exec: 0x10,
  stdin: 0x11,
  stdinClose: 0x12,
  cancel: 0x13,
  credit: 0x14,
  signal: 0x15,
  freeze: 0x20,
  thaw: 0x21,
  setClock: 0x22,
  shutdown: 0x23,
  helloAck: 0x81,
  pong: 0x82,
  started: 0x90,
  stdout: 0x91,
  stderr: 0x92,
  exit: 0x93,
  creditToHost: 0x94,
  stdinGone: 0x95,
  ok: 0xa0,
  failed: 0xa1,
  farewell: 0xb0,
  reset: 0xb1,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FRAME_TYPES: ReadonlySet<number> = new Set(Object.values(FrameType));

/** Channels of a command, as CREDIT names them. */
export const Channel = { stdin: 0, stdout: 1, stderr: 2 } as const;

export const FAREWELL_REASONS = ['power-off', 'reboot', 'panic', 'shutdown'] as const;
export type FarewellReason = (typeof FAREWELL_REASONS)[number];

export const POWER_ACTIONS = ['poweroff', 'reboot'] as const;
export type PowerAction = (typeof POWER_ACTIONS)[number];

/** The other end broke a rule of the protocol. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}
