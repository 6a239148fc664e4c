import type { Duplex } from 'node:stream';
import { invalidArgument } from '@microvm/runtime';
import type { ExecProcess, ExecRequest, Guest } from '@microvm/runtime';
import { AgentConnection, CONFIRMED } from './connection.js';
import type { CallOptions } from './deadline.js';
import { AgentExecProcess } from './exec-process.js';
import { encodeExecRequest } from './exec-request.js';
import { shakeHands } from './handshake.js';
import { decodeInfo, encodeShutdown, encodeThaw } from './messages.js';
import type { AgentInfo, Farewell, ThawMessage } from './messages.js';
import { PayloadWriter } from './payload.js';
import { FrameType, MAX_WAIT_MS, PREAMBLE } from './protocol.js';
import type { PowerAction } from './protocol.js';

const CONNECT_TIMEOUT_MS = 30_000;
const ANSWER_TIMEOUT_MS = 10_000;
const FREEZE_TIMEOUT_MS = 30_000;
const SHUTDOWN_GRACE_MS = 5_000;
const NO_BYTES = Buffer.alloc(0);

export interface ConnectOptions {
  readonly signal?: AbortSignal;
  /** How long the agent may stay silent, 30,000 ms by default: a cold boot lies within it. */
  readonly timeoutMs?: number;
  /** Whose guest it is, for errors. */
  readonly vmId: string;
}

/** What a restored guest is told before its workload goes on. What is absent is left alone. */
export interface ThawOptions extends CallOptions {
  /** The number of the guest's new life, above its present one. It ends all commands' streams. */
  readonly epoch?: number;
  /** What the guest's clock is set to: milliseconds since 1970. */
  readonly wallClockMs?: number;
  /** 32 to 512 bytes for the guest's random pool, which is reseeded from them. */
  readonly entropy?: Uint8Array;
  /** At most 64 bytes. */
  readonly hostname?: string;
  /** 32 lower-case hex digits for /etc/machine-id. */
  readonly machineId?: string;
}

export interface ShutdownOptions extends CallOptions {
  /** Between SIGTERM and SIGKILL to what runs, 5,000 ms by default. */
  readonly graceMs?: number;
}

/**
 * The host's end of a session with the agent in a guest. Calls reject with `MICROVM_GUEST_UNREACHABLE` once the channel ended, with
 * the signal's own reason on an abort, with `MICROVM_TIMEOUT` after `timeoutMs` (10 s by default, 30 s for freeze and thaw), and
 * with `AgentFailure` when the guest could not do it.
 */
export class AgentClient implements Guest {
  /** What the agent said in the handshake. */
  readonly info: AgentInfo;
  /** How the guest took its leave; undefined when the channel ended without a word. Never rejects. */
  readonly farewell: Promise<Farewell | undefined>;
  /** Resolves when the channel ended, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #connection: AgentConnection;

  private constructor(
    connection: AgentConnection,
    farewell: Promise<Farewell | undefined>,
    closed: Promise<void>,
  ) {
    this.#connection = connection;
    this.info = connection.ack.info;
    this.farewell = farewell;
    this.closed = closed;
  }

  /**
   * Shakes hands over a byte stream, whatever an earlier session left in it. The stream is the client's from here on.
   * Rejects with `MICROVM_GUEST_UNREACHABLE` when it ends, stays silent for `timeoutMs` or is no agent's.
   */
  static async connect(stream: Duplex, options: ConnectOptions): Promise<AgentClient> {
    const { signal, timeoutMs = CONNECT_TIMEOUT_MS, vmId } = options;
    let onFarewell: (farewell: Farewell | undefined) => void = () => undefined;
    let onClosed: () => void = () => undefined;
    const farewell = new Promise<Farewell | undefined>((resolve) => (onFarewell = resolve));
    const closed = new Promise<void>((resolve) => (onClosed = resolve));
    const hooks = {
      onFarewell,
      onClosed: () => {
        onFarewell(undefined);
        onClosed();
      },
    };
    const limits = signal === undefined ? { timeoutMs } : { timeoutMs, signal };
    const greeting = await shakeHands(stream, { vmId, ...limits });
    return new AgentClient(new AgentConnection(stream, greeting, vmId, hooks), farewell, closed);
  }

  /** The number of the guest's present life. */
  get epoch(): number {
    return this.#connection.epoch;
  }

  ping(options: CallOptions = {}): Promise<AgentInfo> {
    return this.#connection.request(FrameType.ping, NO_BYTES, {
      operation: 'ping',
      answer: FrameType.pong,
      decode: decodeInfo,
      timeoutMs: ANSWER_TIMEOUT_MS,
      ...options,
    });
  }

  /** See `Guest`. A wrong request throws `MICROVM_INVALID_ARGUMENT` at once. */
  exec(request: ExecRequest): ExecProcess {
    return new AgentExecProcess(this.#connection, request, encodeExecRequest(request));
  }

  /** Stops the workload and writes file systems back; both are done when it resolves. Given up, it is undone in the guest. */
  async freeze(options: CallOptions = {}): Promise<void> {
    const timeoutMs = checkMs('timeoutMs', options.timeoutMs ?? FREEZE_TIMEOUT_MS, 1);
    const body = new PayloadWriter().u32(timeoutMs).done();
    await this.#connection.request(FrameType.freeze, body, {
      operation: 'freeze',
      ...CONFIRMED,
      ...options,
      timeoutMs,
      // Frozen after all, but nobody waits for it any more.
      onLate: () => {
        this.thaw().catch(() => undefined);
      },
    });
  }

  /** Repairs what it is told to and then lets the workload go on. When a step fails the guest stays frozen. */
  async thaw(options: ThawOptions = {}): Promise<void> {
    const { signal, timeoutMs = FREEZE_TIMEOUT_MS } = options;
    const message = checkThaw(options);
    const body = encodeThaw(message);
    if (body.includes(PREAMBLE)) throw invalidArgument('entropy', 'random bytes');
    await this.#connection.request(FrameType.thaw, body, {
      operation: 'thaw',
      ...CONFIRMED,
      timeoutMs,
      ...(signal === undefined ? {} : { signal }),
      ...(message.epoch === 0 ? {} : { nextEpoch: message.epoch }),
    });
  }

  /** Steps the guest's wall clock: milliseconds since 1970. */
  async setClock(wallClockMs: number, options: CallOptions = {}): Promise<void> {
    const body = new PayloadWriter().u64(microseconds(wallClockMs)).done();
    await this.#connection.request(FrameType.setClock, body, {
      operation: 'setClock',
      ...CONFIRMED,
      timeoutMs: ANSWER_TIMEOUT_MS,
      ...options,
    });
  }

  /** Begins the guest's shutdown; `farewell` tells when it is all but over. */
  async shutdown(action: PowerAction, options: ShutdownOptions = {}): Promise<void> {
    const { graceMs = SHUTDOWN_GRACE_MS, ...call } = options;
    const body = encodeShutdown(action, checkMs('graceMs', graceMs, 0));
    await this.#connection.request(FrameType.shutdown, body, {
      operation: 'shutdown',
      ...CONFIRMED,
      timeoutMs: ANSWER_TIMEOUT_MS,
      ...call,
    });
  }

  /** Ends the session on this side. Commands in the guest go on; their results reject. Idempotent. */
  close(reason = 'the session was closed'): void {
    this.#connection.close(reason);
  }
}

function checkMs(path: string, value: number, lowest: number): number {
  if (!Number.isInteger(value) || value < lowest || value > MAX_WAIT_MS) {
    throw invalidArgument(path, `whole milliseconds from ${lowest} to ${MAX_WAIT_MS}`);
  }
  return value;
}

function microseconds(wallClockMs: number): bigint {
  if (!Number.isFinite(wallClockMs) || wallClockMs <= 0 || wallClockMs > Number.MAX_SAFE_INTEGER / 1000) {
    throw invalidArgument('wallClockMs', 'milliseconds since 1970');
  }
  return BigInt(Math.round(wallClockMs * 1000));
}

function checkThaw(options: ThawOptions): ThawMessage {
  const { epoch = 0, wallClockMs, entropy = NO_BYTES, hostname = '', machineId = '' } = options;
  if (!Number.isInteger(epoch) || epoch < 0 || epoch > 0xffff_ffff) {
    throw invalidArgument('epoch', 'a whole number below 2^32');
  }
  if (entropy.length > 512 || (entropy.length > 0 && entropy.length < 32)) {
    throw invalidArgument('entropy', '32 to 512 bytes');
  }
  if (Buffer.byteLength(hostname) > 64 || hostname.includes('\0')) {
    throw invalidArgument('hostname', 'at most 64 bytes');
  }
  if (machineId !== '' && !/^[0-9a-f]{32}$/.test(machineId)) {
    throw invalidArgument('machineId', '32 lower-case hex digits');
  }
  const wallClockUs = wallClockMs === undefined ? 0n : microseconds(wallClockMs);
  return { epoch, wallClockUs, entropy, hostname, machineId };
}
