/** The numbers of docs/guest-protocol.md. */

/** What this side speaks by itself: a scripted guest, and what a client asks for. */
export const PROTOCOL_VERSION = 2;
/** A guest that was restored has the agent of the time of its snapshot, which may speak this. */
export const OLDEST_VERSION = 1;
export const HEADER_SIZE = 24;
export const MAX_PAYLOAD = 65_536;
export const SESSION_ID_SIZE = 16;
export const MAX_OPEN_BODY = 1 << 20;
/** A message of several frames that is no OPEN: room for 1 MiB of environment and what each string costs. */
export const MAX_MESSAGE = (1 << 20) + (64 << 10);
export const MAX_EXEC_STRINGS = 8_192;
export const MAX_SECRET_NAME_BYTES = 64;
export const MAX_USER_BYTES = 256;
export const MAX_TERM_BYTES = 64;
export const MAX_HOST_BYTES = 64;
export const MAX_SOCKET_PATH_BYTES = 107;
/** Streams that are open at once in one session. */
export const MAX_STREAMS = 256;
/** Streams and requests of one session that the agent may leave without an answer. */
export const MAX_OPEN_STREAMS = 4_096;
/** Bytes of an older session that a client skips to find the mark of its own. */
export const MAX_SKIPPED_BYTES = 64 << 20;
export const MIN_WINDOW = 4_096;
export const MAX_WINDOW = 0x7fff_ffff;
/** What the client lets each output of a stream hold at first. */
export const OUTPUT_WINDOW = 32 * 1024;
/** What the agent lets the input of a stream hold. */
export const INPUT_WINDOW = 64 * 1024;
/**
 * Input of a command that was sent and that the agent has not confirmed: it is kept, so that it can be sent
 * again in the next session.
 */
export const UNCONFIRMED_INPUT_BYTES = 32 * 1024;
/** Commands in one answer to a request for the list of them, and in all of its answers together. */
export const MAX_LISTED = 128;
export const MAX_COMMANDS = 1_024;
export const MAX_LISTED_TEXT_BYTES = 256;
/** Offsets of an output beyond this are a lie: no guest writes that much. */
export const MAX_OFFSET = 2 ** 52;
export const MAX_WAIT_MS = 600_000;
export const FLAG_MORE = 1;

/** `MVFR` as a little-endian number. */
export const MAGIC = 0x5246_564d;
export const PREAMBLE: Buffer = Buffer.from('f38a1cd56e42b907e15d902bc47fa638', 'hex');

export const FrameType = {
  hello: 0x01,
  ping: 0x02,
  open: 0x10,
  data: 0x11,
  end: 0x12,
  cancel: 0x13,
  credit: 0x14,
  signal: 0x15,
  resize: 0x16,
  ack: 0x17,
  detach: 0x18,
  freeze: 0x20,
  thaw: 0x21,
  setClock: 0x22,
  shutdown: 0x23,
  setEnv: 0x24,
  secrets: 0x25,
  metrics: 0x27,
  listCommands: 0x26,
  setImage: 0x28,
  helloAck: 0x81,
  pong: 0x82,
  opened: 0x90,
  data1: 0x91,
  data2: 0x92,
  ended: 0x93,
  creditToHost: 0x94,
  gone: 0x95,
  endToHost: 0x96,
  ok: 0xa0,
  failed: 0xa1,
  metricsAnswer: 0xa3,
  commands: 0xa2,
  farewell: 0xb0,
  reset: 0xb1,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FRAME_TYPES: ReadonlySet<number> = new Set(Object.values(FrameType));

/** The longest message of each type that may take several frames, by `MORE`. */
export const LONG_MESSAGES: ReadonlyMap<number, number> = new Map([
  [FrameType.open, MAX_OPEN_BODY],
  [FrameType.setEnv, MAX_MESSAGE],
  [FrameType.secrets, MAX_MESSAGE],
  [FrameType.setImage, MAX_MESSAGE],
]);

/** The channel of a stream that goes to the guest, as CREDIT names it; 1 and 2 come from the guest. */
export const INPUT_CHANNEL = 0;
export type OutputChannel = 1 | 2;

/** What an OPEN asks for. */
export const StreamKind = { exec: 1, connect: 2, attach: 3, files: 4, listen: 5, accept: 6 } as const;
export type StreamKind = (typeof StreamKind)[keyof typeof StreamKind];

/** Flags of a command's OPEN, of an attachment, and of what is said of a command. */
export const DETACHED = 1;
export const INPUT_ONLY = 1;
export const CommandFlag = {
  detached: DETACHED,
  hasTerminal: 2,
  inputEnded: 4,
  inputGone: 8,
  hasReader: 16,
} as const;
export const ALL_COMMAND_FLAGS = 31;

/** What a connection goes to. */
export const TargetKind = { internet: 1, unix: 2, vsock: 3 } as const;

/** Limits of a command, in the order of their numbers on the wire, which begin with 1. */
export const RLIMITS = [
  'cpuSeconds',
  'addressSpaceBytes',
  'fileSizeBytes',
  'openFiles',
  'processes',
] as const;

export const FAREWELL_REASONS = ['power-off', 'reboot', 'panic', 'shutdown'] as const;
export type FarewellReason = (typeof FAREWELL_REASONS)[number];

export const POWER_ACTIONS = ['poweroff', 'reboot'] as const;
export type PowerAction = (typeof POWER_ACTIONS)[number];

/** The other end broke a rule of the protocol. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}
