import type { ExecLimits, GuestInfo, PtyOptions, PtySize } from '@microvm/runtime';
import { idNumber, newCommandId, readId } from './command-id.js';
import { PayloadReader, PayloadWriter } from './payload.js';
import { readSecretVariables, writeSecretVariables } from './settings-messages.js';
import {
  DETACHED,
  FAREWELL_REASONS,
  MAX_OPEN_BODY,
  MAX_EXEC_STRINGS,
  MAX_TERM_BYTES,
  MAX_USER_BYTES,
  MAX_WAIT_MS,
  MAX_WINDOW,
  MIN_WINDOW,
  POWER_ACTIONS,
  ProtocolError,
  RLIMITS,
  SESSION_ID_SIZE,
  StreamKind,
} from './protocol.js';
import type { FarewellReason, PowerAction } from './protocol.js';

/** What the agent says of itself: in HELLO_ACK and PONG. */
export interface AgentInfo extends GuestInfo {
  /** The workload is stopped. */
  readonly isFrozen: boolean;
  /** The agent is the guest's init. */
  readonly isInit: boolean;
}

export interface Hello {
  readonly session: Buffer;
  readonly lowestVersion: number;
  readonly highestVersion: number;
  readonly outputWindow: number;
}

export interface HelloAck {
  readonly session: Buffer;
  /** 0: none in common. */
  readonly version: number;
  readonly lowestVersion: number;
  readonly highestVersion: number;
  readonly maxStreams: number;
  readonly inputWindow: number;
  readonly info: AgentInfo;
}

/** How a guest ended itself. */
export interface Farewell {
  /** `shutdown`: the host asked for it. The others were the guest's own doing. */
  readonly reason: FarewellReason;
  readonly action: PowerAction;
}

/** What is to be repaired before a restored workload goes on; each is left alone when absent. */
export interface ThawMessage {
  readonly epoch: number;
  readonly wallClockUs: bigint;
  readonly entropy: Uint8Array;
  readonly hostname: string;
  readonly machineId: string;
}

/** A command as OPEN says it. */
export interface ExecMessage {
  /** Empty: the command of the VM's image. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Empty: the working directory of the VM's image, or `/`. */
  readonly cwd: string;
  /** 16 hex digits, see `command-id.ts`. */
  readonly id: string;
  /** Nobody reads its output at first. */
  readonly isDetached: boolean;
  /** Empty: the user of the VM's image, or whoever the agent is. */
  readonly user: string;
  readonly rlimits: ExecLimits;
  readonly pty: Required<PtyOptions> | undefined;
  /** Names of secrets, by the variables that shall have their values. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** A name of the guest's errors and the step that failed. */
export interface FailedMessage {
  readonly errno: string;
  readonly step: string;
}

function writeInfo(out: PayloadWriter, info: AgentInfo): PayloadWriter {
  const flags = (info.isFrozen ? 1 : 0) | (info.isInit ? 2 : 0);
  return out.u32(info.epoch).u8(flags).text(info.agentVersion).text(info.kernelRelease);
}

function readInfo(input: PayloadReader): AgentInfo {
  const epoch = input.u32();
  const flags = input.u8();
  if (epoch === 0 || (flags & ~3) !== 0) throw new ProtocolError('bad agent information');
  const agentVersion = input.words(64);
  const kernelRelease = input.words(128);
  return { agentVersion, epoch, kernelRelease, isFrozen: (flags & 1) !== 0, isInit: (flags & 2) !== 0 };
}

export function read<T>(payload: Buffer, body: (input: PayloadReader) => T): T {
  const input = new PayloadReader(payload);
  const value = body(input);
  input.end();
  return value;
}

export function inRange(value: number, lowest: number, highest: number): number {
  if (value < lowest || value > highest) throw new ProtocolError(`value ${value} out of range`);
  return value;
}

export function encodeHello(hello: Hello): Buffer {
  const out = new PayloadWriter().raw(hello.session);
  return out.u16(hello.lowestVersion).u16(hello.highestVersion).u32(hello.outputWindow).done();
}

export function decodeHello(payload: Buffer): Hello {
  return read(payload, (input) => ({
    session: Buffer.from(input.raw(SESSION_ID_SIZE)),
    lowestVersion: input.u16(),
    highestVersion: input.u16(),
    outputWindow: inRange(input.u32(), MIN_WINDOW, 16 << 20),
  }));
}

export function encodeHelloAck(ack: HelloAck): Buffer {
  const out = new PayloadWriter().raw(ack.session);
  out
    .u16(ack.version)
    .u16(ack.lowestVersion)
    .u16(ack.highestVersion)
    .u16(ack.maxStreams)
    .u32(ack.inputWindow);
  return writeInfo(out, ack.info).done();
}

export function decodeHelloAck(payload: Buffer): HelloAck {
  return read(payload, (input) => ({
    session: Buffer.from(input.raw(SESSION_ID_SIZE)),
    version: input.u16(),
    lowestVersion: input.u16(),
    highestVersion: input.u16(),
    maxStreams: inRange(input.u16(), 1, 65_535),
    inputWindow: inRange(input.u32(), MIN_WINDOW, MAX_WINDOW),
    info: readInfo(input),
  }));
}

export function encodeInfo(info: AgentInfo): Buffer {
  return writeInfo(new PayloadWriter(), info).done();
}

export function decodeInfo(payload: Buffer): AgentInfo {
  return read(payload, readInfo);
}

/** An encoded command in each version of the protocol. */
export interface EncodedExec {
  readonly body: Buffer;
  /**
   * The same in version 1, which has neither users nor limits nor terminals nor images; undefined when it
   * asks for one of these.
   */
  readonly bodyV1: Buffer | undefined;
}

function encodeCommand(request: Pick<ExecMessage, 'argv' | 'env' | 'cwd'>): Buffer {
  const env = Object.entries(request.env);
  const out = new PayloadWriter().u16(request.argv.length);
  for (const argument of request.argv) out.text(argument);
  out.u16(env.length);
  for (const [name, value] of env) out.text(`${name}=${value}`);
  return out.text(request.cwd).done();
}

export function encodeExec(request: ExecMessage): EncodedExec {
  const { user, rlimits, pty, secrets } = request;
  const limits = RLIMITS.flatMap((name, index) => {
    const value = rlimits[name];
    return value === undefined ? [] : [{ number: index + 1, value }];
  });
  const command = encodeCommand(request);
  const out = new PayloadWriter().u8(StreamKind.exec).u64(idNumber(request.id));
  out
    .u8(request.isDetached ? DETACHED : 0)
    .raw(command)
    .text(user)
    .u8(limits.length);
  for (const { number, value } of limits) out.u8(number).u64(BigInt(value));
  out.u8(pty === undefined ? 0 : 1);
  if (pty !== undefined) out.u16(pty.cols).u16(pty.rows).text(pty.term);
  writeSecretVariables(out, secrets);
  const body = out.done();
  const isPlain =
    request.argv.length > 0 && user === '' && limits.length === 0 && pty === undefined && !hasKeys(secrets);
  return { body, bodyV1: isPlain ? encodeCommand({ ...request, cwd: request.cwd || '/' }) : undefined };
}

function hasKeys(value: object): boolean {
  return Object.keys(value).length > 0;
}

function readCommand(input: PayloadReader): Pick<ExecMessage, 'argv' | 'env' | 'cwd'> {
  const argc = inRange(input.u16(), 0, MAX_EXEC_STRINGS);
  const argv = Array.from({ length: argc }, () => input.text(MAX_OPEN_BODY));
  const env = Array.from({ length: inRange(input.u16(), 0, MAX_EXEC_STRINGS) }, () => {
    const entry = input.text(MAX_OPEN_BODY);
    const equals = entry.indexOf('=');
    if (equals < 1) throw new ProtocolError('bad environment entry');
    return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
  });
  const cwd = input.text(MAX_OPEN_BODY);
  if (cwd !== '' && !cwd.startsWith('/')) throw new ProtocolError('working directory is not absolute');
  // Not by assignment: a variable may be named `__proto__`.
  return { argv, env: Object.fromEntries(env), cwd };
}

function readLimits(input: PayloadReader): ExecLimits {
  const limits: Partial<Record<keyof ExecLimits, number>> = {};
  let last = 0;
  for (let left = input.u8(); left > 0; left--) {
    const number = inRange(input.u8(), last + 1, RLIMITS.length);
    const name = RLIMITS[number - 1];
    if (name !== undefined) limits[name] = Number(input.u64());
    last = number;
  }
  return limits;
}

function readPty(input: PayloadReader): ExecMessage['pty'] {
  if (inRange(input.u8(), 0, 1) === 0) return undefined;
  const size = readSize(input);
  return { ...size, term: input.text(MAX_TERM_BYTES) };
}

function readSize(input: PayloadReader): PtySize {
  return { cols: inRange(input.u16(), 1, 0xffff), rows: inRange(input.u16(), 1, 0xffff) };
}

/** The body behind the kind. */
export function decodeExec(body: Buffer): ExecMessage {
  return read(body, (input) => {
    inRange(input.u8(), StreamKind.exec, StreamKind.exec);
    const id = readId(input);
    const isDetached = inRange(input.u8(), 0, DETACHED) === DETACHED;
    const command = readCommand(input);
    return {
      id,
      isDetached,
      ...command,
      user: input.text(MAX_USER_BYTES),
      rlimits: readLimits(input),
      pty: readPty(input),
      secrets: readSecretVariables(input),
    };
  });
}

export function decodeExecV1(body: Buffer): ExecMessage {
  const command = read(body, readCommand);
  const none = { user: '', rlimits: {}, pty: undefined, secrets: {} };
  return { id: newCommandId(), isDetached: false, ...command, ...none };
}

export function encodeOpenedExec(pid: number): Buffer {
  return new PayloadWriter().u32(pid).done();
}

export function encodeResize({ cols, rows }: PtySize): Buffer {
  return new PayloadWriter().u16(cols).u16(rows).done();
}

export function decodeResize(payload: Buffer): PtySize {
  return read(payload, readSize);
}

export function encodeCredit(channel: number, bytes: number): Buffer {
  return new PayloadWriter().u8(channel).u32(bytes).done();
}

export function decodeCredit(payload: Buffer): { readonly channel: number; readonly bytes: number } {
  return read(payload, (input) => ({
    channel: inRange(input.u8(), 0, 2),
    bytes: inRange(input.u32(), 1, MAX_WINDOW),
  }));
}

export function encodeThaw(thaw: ThawMessage): Buffer {
  const out = new PayloadWriter().u32(thaw.epoch).u64(thaw.wallClockUs).blob(thaw.entropy);
  return out.text(thaw.hostname).text(thaw.machineId).done();
}

export function decodeThaw(payload: Buffer): ThawMessage {
  return read(payload, (input) => ({
    epoch: input.u32(),
    wallClockUs: input.u64(),
    entropy: Buffer.from(input.blob(512)),
    hostname: input.text(64),
    machineId: input.text(32),
  }));
}

export function encodeShutdown(action: PowerAction, graceMs: number): Buffer {
  return new PayloadWriter().u8(POWER_ACTIONS.indexOf(action)).u32(graceMs).done();
}

export function decodeShutdown(payload: Buffer): { readonly action: PowerAction; readonly graceMs: number } {
  return read(payload, (input) => ({
    action: input.oneOf(POWER_ACTIONS, 0),
    graceMs: inRange(input.u32(), 0, MAX_WAIT_MS),
  }));
}

export function encodeFailed(errno: string, step: string): Buffer {
  return new PayloadWriter().text(errno).text(step).done();
}

export function decodeFailed(payload: Buffer): FailedMessage {
  return read(payload, (input) => {
    const errno = input.words(32);
    if (!/^E[A-Z0-9]+$/.test(errno)) throw new ProtocolError('bad errno');
    return { errno, step: input.words(64) };
  });
}

export function encodeFarewell(farewell: Farewell): Buffer {
  return Buffer.of(FAREWELL_REASONS.indexOf(farewell.reason) + 1, POWER_ACTIONS.indexOf(farewell.action));
}

export function decodeFarewell(payload: Buffer): Farewell {
  return read(payload, (input) => ({
    reason: input.oneOf(FAREWELL_REASONS, 1),
    action: input.oneOf(POWER_ACTIONS, 0),
  }));
}

/** Whether a request is longer than OPEN may be, and what is allowed. */
export function execTooLong(sizeBytes: number): string | undefined {
  return sizeBytes > MAX_OPEN_BODY
    ? `at most ${MAX_OPEN_BODY} bytes of arguments and environment, with that of the VM`
    : undefined;
}

/**
 * Whether a request has more strings than OPEN may have, and what is allowed: to be asked before it is
 * encoded.
 */
export function tooManyStrings(request: Pick<ExecMessage, 'argv' | 'env'>): string | undefined {
  if (request.argv.length > MAX_EXEC_STRINGS) return `at most ${MAX_EXEC_STRINGS} arguments`;
  if (Object.keys(request.env).length > MAX_EXEC_STRINGS) return `at most ${MAX_EXEC_STRINGS} variables`;
  return undefined;
}
