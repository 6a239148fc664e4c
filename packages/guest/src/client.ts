import type { Duplex } from 'node:stream';
import { checkImageConfig, environmentBytes, invalidArgument, requireSignal } from '@microvm/runtime';
import type {
  ConnectOptions as GuestConnectOptions,
  GuestListener,
  ListenOptions,
  ConnectTarget,
  ForwardOptions,
  PortForward,
} from '@microvm/runtime';
import type {
  AttachOptions,
  DetachedCommand,
  DetachedExecRequest,
  Environment,
  ExecProcess,
  ExecRequest,
  Guest,
  GuestCommand,
  GuestMetrics,
  GuestSecrets,
  GuestSettings,
  ImageConfig,
  NamedVm,
} from '@microvm/runtime';
import { checkCommandId } from './command-id.js';
import { listCommands } from './command-list.js';
import { attachmentOf, openingOf } from './command-opening.js';
import { isDetached, startDetached } from './detached-command.js';
import { sendSignal } from './kill-command.js';
import { AgentFailure } from './agent-failure.js';
import { StreamQueue } from './stream-queue.js';
import { tooOld } from './too-old.js';
import { AgentConnection } from './connection.js';
import type { CallOptions } from './deadline.js';
import { AgentExecProcess } from './exec-process.js';
import { Forwards } from './forward.js';
import { Listeners } from './guest-listener.js';
import { connectTo } from './guest-socket.js';
import { AgentFiles } from './files/agent-files.js';
import { shakeHands } from './handshake.js';
import type { Greeting } from './handshake.js';
import { decodeInfo, encodeShutdown, encodeThaw } from './messages.js';
import type { AgentInfo, FailedMessage, Farewell, ThawMessage } from './messages.js';
import { PayloadWriter } from './payload.js';
import { FrameType, MAX_WAIT_MS, PREAMBLE } from './protocol.js';
import type { PowerAction } from './protocol.js';
import { CONFIRMED } from './request.js';
import { decodeMetrics } from './metrics-message.js';
import { encodeSetImage } from './image-message.js';
import { encodeSecrets, encodeSetEnv } from './settings-messages.js';

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
  readonly vm: NamedVm;
  /**
   * The queue of the commands that this session starts. Without one the session has a queue of its own, which
   * ends with the session.
   */
  readonly commands?: StreamQueue;
  /**
   * For a guest that is a script in this process: the very error that a failure tells of, which a frame
   * cannot carry.
   */
  readonly thrownBy?: (failure: FailedMessage) => { readonly error: unknown } | undefined;
}

/** The values that a restored guest is given before its workload goes on. An absent value is left alone. */
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
 * The host's end of a session with the agent in a guest. Calls reject with `MICROVM_GUEST_UNREACHABLE` once
 * the channel ended, with the signal's own reason on an abort, with `MICROVM_TIMEOUT` after `timeoutMs` (10 s
 * by default, 30 s for freeze and thaw), and with `AgentFailure` when the guest could not do it.
 */
export class AgentClient implements Guest {
  /** See `Guest`. */
  readonly files: AgentFiles;
  /** What the agent said in the handshake. */
  readonly info: AgentInfo;
  /** How the guest took its leave; undefined when the channel ended without a word. Never rejects. */
  readonly farewell: Promise<Farewell | undefined>;
  /** Resolves when the channel ended, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #connection: AgentConnection;
  readonly #commands: StreamQueue;
  readonly #forwards = new Forwards((target) => this.connect(target));
  readonly #listeners: Listeners;

  private constructor(stream: Duplex, greeting: Greeting, { vm, commands, thrownBy }: ConnectOptions) {
    let onFarewell: (farewell: Farewell | undefined) => void = () => undefined;
    let onClosed: () => void = () => undefined;
    this.farewell = new Promise((resolve) => (onFarewell = resolve));
    this.closed = new Promise((resolve) => (onClosed = resolve));
    this.info = greeting.ack.info;
    this.#commands = commands ?? new StreamQueue(vm);
    this.files = new AgentFiles(this.#commands);
    this.#listeners = new Listeners(this.#commands);
    this.#connection = new AgentConnection(stream, greeting, vm, {
      onFarewell,
      onReady: () => this.#commands.pump(),
      onLost: (loss, mayReturn) => {
        if (commands === undefined) this.#commands.close(loss);
        else commands.detach(this.#connection, loss(), mayReturn);
        this.#forwards.close(loss);
        this.#listeners.close(loss);
        onFarewell(undefined);
        onClosed();
      },
      ...(thrownBy === undefined ? {} : { thrownBy }),
    });
    this.#commands.attach(this.#connection);
    this.#connection.start();
  }

  /**
   * Shakes hands over a byte stream, whatever an earlier session left in it. The stream is the client's from
   * here on. Rejects with `MICROVM_GUEST_UNREACHABLE` when it ends, stays silent for `timeoutMs` or is no
   * agent's.
   */
  static async connect(stream: Duplex, options: ConnectOptions): Promise<AgentClient> {
    const { signal, timeoutMs = CONNECT_TIMEOUT_MS, vm } = options;
    const limits = signal === undefined ? { timeoutMs } : { timeoutMs, signal };
    const greeting = await shakeHands(stream, { vm, ...limits });
    return new AgentClient(stream, greeting, options);
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

  /** See `Guest`. */
  async metrics(options: CallOptions = {}): Promise<GuestMetrics> {
    if (this.#connection.ack.version < 2) throw tooOld('metrics');
    return this.#connection.request(FrameType.metrics, NO_BYTES, {
      operation: 'metrics',
      answer: FrameType.metricsAnswer,
      decode: decodeMetrics,
      timeoutMs: ANSWER_TIMEOUT_MS,
      ...options,
    });
  }

  /** Frames and bytes that the agent sent in this session so far. */
  get received(): { readonly frames: number; readonly bytes: number } {
    return this.#connection.received;
  }

  /** Bytes that wait for the agent to read them. */
  get queuedBytes(): number {
    return this.#connection.queuedBytes;
  }

  /** See `Guest`. */
  connect(target: ConnectTarget, options?: GuestConnectOptions): Promise<Duplex> {
    return connectTo(this.#commands, target, options);
  }

  /** See `Guest`. */
  forward(options: ForwardOptions): Promise<PortForward> {
    return this.#forwards.open(options);
  }

  /** See `Guest`. Ends with this session. */
  async listen(target: ConnectTarget, options?: ListenOptions): Promise<GuestListener> {
    return this.#listeners.open(target, options);
  }

  /** See `Guest`. A wrong request throws `MICROVM_INVALID_ARGUMENT` at once. */
  exec(request: DetachedExecRequest): Promise<DetachedCommand>;
  exec(request: ExecRequest): ExecProcess;
  exec(request: ExecRequest | DetachedExecRequest): ExecProcess | Promise<DetachedCommand> {
    return isDetached(request)
      ? startDetached(this.#commands, request, this)
      : new AgentExecProcess(this.#commands, openingOf(request, this.#commands));
  }

  /** See `Guest`. */
  attach(id: string, options?: AttachOptions): ExecProcess {
    return new AgentExecProcess(this.#commands, attachmentOf(id, options));
  }

  /** See `Guest`. */
  commands(options: CallOptions = {}): Promise<readonly GuestCommand[]> {
    return listCommands(this.#connection, { timeoutMs: ANSWER_TIMEOUT_MS, ...options });
  }

  /** See `Guest`. */
  async kill(id: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const target = { id: checkCommandId(id) };
    const number = requireSignal(signal);
    if (this.#connection.ack.version < 2) throw tooOld('kill by id');
    await sendSignal(this.#connection, target, number);
  }

  /**
   * Stops the workload and writes file systems back; both are done when it resolves. Given up, it is undone
   * in the guest. From the call until the thaw commands wait to be started.
   */
  async freeze(options: CallOptions = {}): Promise<void> {
    const timeoutMs = checkMs('timeoutMs', options.timeoutMs ?? FREEZE_TIMEOUT_MS, 1);
    options.signal?.throwIfAborted();
    const body = new PayloadWriter().u32(timeoutMs).done();
    this.#connection.setFrozen(true);
    await this.#connection.request(FrameType.freeze, body, {
      operation: 'freeze',
      ...CONFIRMED,
      ...options,
      timeoutMs,
      onAnswer: ({ isOk, isLate }) => {
        if (!isOk) this.#connection.setFrozen(false);
        // Frozen after all, but nobody waits for it any more.
        else if (isLate) this.thaw().catch(() => undefined);
      },
    });
  }

  /**
   * Repairs what it is told to and then lets the workload go on. When a step fails the guest stays frozen.
   */
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
      onAnswer: ({ isOk }) => {
        if (isOk) this.#connection.setFrozen(false);
      },
    });
  }

  /**
   * Gives the guest what a driver's VM has to be told, frozen or not. Rejects with `MICROVM_UNSUPPORTED` when
   * the agent speaks protocol 1 and there is anything to be told.
   */
  async configure({ env, secrets, image }: GuestSettings, options: CallOptions = {}): Promise<void> {
    if (image !== undefined) await this.setImage(image, options);
    if (env !== undefined) await this.setEnv(env, options);
    if (secrets !== undefined) await this.setSecrets(secrets, options);
  }

  /**
   * Gives the guest secrets, keeps those that are named and removes all others. Rejects with `AgentFailure`
   * when a secret that is to be kept is not there (`keep`) or one cannot be stored (`folder`, `write`), and
   * with `MICROVM_INVALID_ARGUMENT` when the guest does not know an owner.
   */
  async setSecrets(secrets: GuestSecrets, options: CallOptions = {}): Promise<void> {
    const isOld = this.#connection.ack.version < 2;
    if (isOld && secrets.keep.length + secrets.give.size > 0) throw tooOld('setSecret');
    if (isOld) return;
    const body = encodeSecrets(secrets);
    const told = this.#connection.request(FrameType.secrets, body, {
      operation: 'setSecret',
      ...CONFIRMED,
      timeoutMs: ANSWER_TIMEOUT_MS,
      ...options,
      // Before an answer it may still be on its way.
      onAnswer: () => void body.fill(0),
    });
    await told.catch((error: unknown) => {
      const isOwner = error instanceof AgentFailure && error.step === 'owner' && error.errno === 'ENOENT';
      throw isOwner ? invalidArgument('owner', 'a user, and a group, that the guest knows') : error;
    });
  }

  /**
   * Tells what the image of the VM says of commands, from the next one on. Rejects with
   * `MICROVM_INVALID_ARGUMENT` for what no agent can be told.
   */
  async setImage(image: ImageConfig, options: CallOptions = {}): Promise<void> {
    if (this.#connection.ack.version < 2) throw tooOld('image');
    checkImageConfig(image, 'image');
    await this.#connection.request(FrameType.setImage, encodeSetImage(image), {
      operation: 'setImage',
      ...CONFIRMED,
      timeoutMs: ANSWER_TIMEOUT_MS,
      ...options,
    });
  }

  /** Replaces the environment that commands get over the guest's defaults, from the next one on. */
  async setEnv(env: Environment, options: CallOptions = {}): Promise<void> {
    const isOld = this.#connection.ack.version < 2;
    if (isOld && Object.keys(env).length > 0) throw tooOld('setEnv');
    if (isOld) return;
    await this.#connection.request(FrameType.setEnv, encodeSetEnv(env), {
      operation: 'setEnv',
      ...CONFIRMED,
      timeoutMs: ANSWER_TIMEOUT_MS,
      ...options,
    });
    this.#commands.environmentBytes = environmentBytes(env);
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
