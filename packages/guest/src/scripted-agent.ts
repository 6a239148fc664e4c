import type { Duplex } from 'node:stream';
import type { ConnectTarget, GuestMetrics } from '@microvm/runtime';
import type { Frame } from './codec.js';
import { decodeSignal } from './command-messages.js';
import { describeTarget } from './connect-target.js';
import {
  decodeExec,
  decodeExecV1,
  decodeShutdown,
  decodeThaw,
  encodeFailed,
  encodeFarewell,
  encodeInfo,
} from './messages.js';
import { decodeAccept, decodeConnect, decodeListen } from './socket-messages.js';
import type { AgentInfo, FailedMessage, Farewell } from './messages.js';
import { decodeFiles } from './files/open-files.js';
import { PayloadReader } from './payload.js';
import { encodeMetrics, NO_METRICS } from './metrics-message.js';
import { ScriptedSettings } from './scripted-settings.js';
import { FrameType, PROTOCOL_VERSION, ProtocolError, StreamKind, TargetKind } from './protocol.js';
import type { PowerAction } from './protocol.js';
import { CommandStream, ScriptedErrno } from './scripted-command.js';
import type { ScriptedCommand, ScriptedEnd } from './scripted-command.js';
import { ScriptedCommands } from './scripted-commands.js';
import type { ReaderLink } from './scripted-commands.js';
import { ScriptErrors } from './scripted-errors.js';
import { ListenerStream } from './scripted-listener.js';
import { ScriptedSession } from './scripted-session.js';
import { SocketStream } from './scripted-socket.js';
import type { ScriptedServer } from './scripted-socket.js';
import type { ScriptedStreamParts } from './scripted-stream.js';
import { Wakeups } from './wakeups.js';

/** What a thaw asks for; what is undefined is left alone. */
export interface ScriptedThaw {
  readonly epoch: number | undefined;
  readonly wallClockMs: number | undefined;
  readonly entropy: Buffer | undefined;
  readonly hostname: string | undefined;
  readonly machineId: string | undefined;
}

type Awaitable = Promise<void> | void;

type ScriptedHandler = CommandStream | SocketStream | ListenerStream;

type OpenStream = (
  parts: ScriptedStreamParts,
  onEnd: () => void,
) => { readonly stream: ScriptedHandler; run(): void };

/**
 * What the guest does. A `ScriptedErrno` thrown by one of them is the guest's answer; a missing one succeeds.
 */
export interface ScriptedHandlers {
  /**
   * Runs a command. Any error but `ScriptedErrno` is the one that the command's result rejects with, for a
   * host that has `thrownBy` of the agent.
   */
  exec(command: ScriptedCommand): Promise<ScriptedEnd> | ScriptedEnd;
  /**
   * Is a file worker: reads requests from `stdin` and answers by `stdout`, as docs/guest-protocol.md has
   * them, until its input ends. Without it no file worker can be started: `ENOSYS`.
   */
  files?(worker: ScriptedCommand): Promise<ScriptedEnd> | ScriptedEnd;
  /**
   * Answers the server that takes a connection to this target, if there is one; else the connection is
   * refused.
   */
  serverAt?(target: ConnectTarget): ScriptedServer | undefined;
  freeze?(): Awaitable;
  thaw?(thaw: ScriptedThaw): Awaitable;
  setClock?(wallClockMs: number): Awaitable;
  /** Throws a `ScriptedErrno` for an owner of a secret whom the guest does not know; empty: root. */
  checkOwner?(owner: string): void;
  shutdown?(action: PowerAction, graceMs: number): Awaitable;
  /** What is missing is 0. */
  metrics?(): Partial<GuestMetrics>;
}

export interface ScriptedAgentOptions {
  /** The number of the guest's life, 1 by default. */
  readonly epoch?: number;
  readonly kernelRelease?: string;
  readonly isFrozen?: boolean;
  /** The protocol that it speaks: 2, or 1 as the agent of an old snapshot. */
  readonly protocol?: 1 | 2;
  /** How long a command is held up for a reader that has lost its session: 60,000 ms by default. */
  readonly awaitReaderMs?: number;
  /** What an agent of the same guest was told before; it changes with what this one is told. */
  readonly settings?: ScriptedSettings;
}

/**
 * The guest's side of the protocol, in this process: real frames, with a script in the place of a system. It
 * outlives its connections as the agent in a guest does; `serve` gives it the next one.
 */
export class ScriptedAgent {
  readonly #handlers: ScriptedHandlers;
  readonly #kernelRelease: string;
  readonly #protocol: 1 | 2;
  readonly #errors = new ScriptErrors();
  readonly #settings: ScriptedSettings;
  readonly #commands: ScriptedCommands;
  #epoch: number;
  #isFrozen: boolean;
  readonly #thawed = new Wakeups();
  #session: ScriptedSession | undefined;
  readonly #streams = new Map<number, ScriptedHandler>();
  /** By what they listen on. */
  readonly #listeners = new Map<string, ListenerStream>();
  readonly #requests: Partial<Record<FrameType, (stream: number, payload: Buffer) => void>> = {
    [FrameType.ping]: (stream) => this.#session?.send(FrameType.pong, stream, encodeInfo(this.#info())),
    [FrameType.open]: (stream, payload) => this.#onOpen(stream, payload),
    [FrameType.signal]: (stream, payload) => this.#onSignal(stream, payload),
    [FrameType.listCommands]: (stream, payload) =>
      this.#session?.send(FrameType.commands, stream, this.#commands.list(payload)),
    [FrameType.freeze]: (stream) => this.#onFreeze(stream),
    [FrameType.thaw]: (stream, payload) => this.#onThawRequest(stream, payload),
    [FrameType.setClock]: (stream, payload) => this.#onSetClock(stream, payload),
    [FrameType.metrics]: (stream) => this.#onMetrics(stream),
    [FrameType.shutdown]: (stream, payload) => this.#onShutdown(stream, payload),
    [FrameType.setEnv]: (stream, payload) => this.#onSettings(stream, FrameType.setEnv, payload),
    [FrameType.setImage]: (stream, payload) => this.#onSettings(stream, FrameType.setImage, payload),
    [FrameType.secrets]: (stream, payload) => this.#onSettings(stream, FrameType.secrets, payload),
  };

  constructor(handlers: ScriptedHandlers, options: ScriptedAgentOptions = {}) {
    this.#handlers = handlers;
    this.#epoch = options.epoch ?? 1;
    this.#kernelRelease = options.kernelRelease ?? 'scripted';
    this.#isFrozen = options.isFrozen ?? false;
    this.#protocol = options.protocol ?? PROTOCOL_VERSION;
    this.#settings = options.settings ?? new ScriptedSettings();
    this.#commands = new ScriptedCommands({
      errors: this.#errors,
      untilThawed: () => this.#untilThawed(),
      awaitReaderMs: options.awaitReaderMs ?? 60_000,
      isAcknowledged: this.#protocol > 1,
    });
  }

  get epoch(): number {
    return this.#epoch;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** Speaks over this stream from now on; an earlier one is destroyed. */
  serve(stream: Duplex): void {
    this.close();
    const owner = {
      info: () => this.#info(),
      onStreamFrame: (frame: Frame) => this.#onStreamFrame(frame),
      onRequest: (frame: Frame) => this.#onRequest(frame),
      onDrop: () => this.#detachAll(),
    };
    this.#session = new ScriptedSession(stream, owner, this.#protocol);
  }

  /** The very error of a script that a failure tells of. For `ConnectOptions`. */
  thrownBy(failure: FailedMessage): { readonly error: unknown } | undefined {
    return this.#errors.take(failure);
  }

  /**
   * A program of the guest connects to where the host may listen; `serve` is the program's end. False: nobody
   * listens there, or as many wait as can.
   */
  dial(target: ConnectTarget, serve: ScriptedServer): boolean {
    return this.#listeners.get(describeTarget(target))?.offer(serve) ?? false;
  }

  /** Ends the connection, not the guest: its commands run on. */
  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  /** Tells the host how the guest ends. */
  farewell(farewell: Farewell): void {
    this.#session?.send(FrameType.farewell, 0, encodeFarewell(farewell));
  }

  #onStreamFrame(frame: Frame): boolean {
    const stream = this.#streams.get(frame.stream);
    const isOver = stream instanceof CommandStream && !stream.hasReader;
    if (isOver) this.#streams.delete(frame.stream);
    if (stream === undefined || isOver) {
      if (frame.type === FrameType.detach) this.#commands.confirm(frame.stream);
      return false;
    }
    stream.onFrame(frame);
    return true;
  }

  #onRequest(frame: Frame): void {
    const handle = this.#requests[frame.type];
    if (handle === undefined) throw new ProtocolError(`frame type ${frame.type} of a host`);
    handle(frame.stream, frame.payload);
  }

  #onOpen(stream: number, body: Buffer): void {
    const session = this.#session;
    if (session === undefined) return;
    const kind = this.#protocol > 1 ? body[0] : StreamKind.exec;
    const isCommand = kind === StreamKind.exec || kind === StreamKind.attach || kind === StreamKind.files;
    const open = isCommand ? undefined : this.#openerOf(body);
    if (this.#isFrozen) {
      this.#answer(stream, 'frozen', 'EBUSY');
      return;
    }
    const link: ReaderLink = {
      stream,
      send: (type, id, payload) => session.send(type, id, payload),
      isOf: (command) => this.#streams.set(stream, command),
    };
    if (open === undefined) {
      this.#openCommand(link, kind, body, session.outputWindow);
      return;
    }
    if (typeof open === 'string') return this.#answer(stream, 'connect', open);
    const parts = { ...link, outputWindow: session.outputWindow, untilThawed: () => this.#untilThawed() };
    const opened = open(parts, () => {
      // A later session can have a stream of the same number.
      if (this.#streams.get(stream) === opened.stream) this.#streams.delete(stream);
    });
    this.#streams.set(stream, opened.stream);
    opened.run();
  }

  #openCommand(link: ReaderLink, kind: number | undefined, body: Buffer, outputWindow: number): void {
    const errno =
      kind === StreamKind.attach
        ? this.#commands.attach(link, body)
        : kind === StreamKind.files
          ? this.#startFileWorker(link, body, outputWindow)
          : this.#startCommand(link, body, outputWindow);
    if (errno === undefined) return;
    this.#streams.delete(link.stream);
    this.#answer(link.stream, kind === StreamKind.attach ? 'attach' : 'start', errno);
  }

  #startFileWorker(link: ReaderLink, body: Buffer, outputWindow: number): undefined {
    const what = { argv: ['microvm-files'], user: decodeFiles(body) } as const;
    return this.#commands.startHelper(link, what, outputWindow, (worker) => {
      if (this.#handlers.files === undefined) throw new ScriptedErrno('ENOSYS', 'start');
      return this.#handlers.files({ ...worker, argv: what.argv });
    });
  }

  #startCommand(link: ReaderLink, body: Buffer, outputWindow: number): string | undefined {
    const message = this.#protocol === 1 ? decodeExecV1(body) : decodeExec(body);
    return this.#commands.start(link, message, outputWindow, (scripted) =>
      this.#handlers.exec(this.#settings.withSettings(scripted, message.secrets)),
    );
  }

  /** Or the errno of what cannot be opened. */
  #openerOf(body: Buffer): OpenStream | string {
    const kind = body[0] ?? 0;
    switch (kind) {
      case StreamKind.connect:
        return this.#connection(body) ?? (body[1] === TargetKind.unix ? 'ENOENT' : 'ECONNREFUSED');
      case StreamKind.listen:
        return this.#listener(body) ?? 'EADDRINUSE';
      case StreamKind.accept:
        return this.#accepted(body) ?? 'ENOENT';
      default:
        throw new ProtocolError('OPEN of an unknown kind');
    }
  }

  #connection(body: Buffer): OpenStream | undefined {
    const target = decodeConnect(body);
    return this.#served(target, this.#handlers.serverAt?.(target));
  }

  #accepted(body: Buffer): OpenStream | undefined {
    const { listener, connection } = decodeAccept(body);
    const stream = this.#streams.get(listener);
    if (!(stream instanceof ListenerStream)) return undefined;
    return this.#served(stream.target, stream.take(connection));
  }

  #served(target: ConnectTarget, serve: ScriptedServer | undefined): OpenStream | undefined {
    if (serve === undefined) return undefined;
    return (parts, onEnd) => {
      const stream = new SocketStream(parts, this.#errors, onEnd);
      return { stream, run: () => void stream.run(target, serve) };
    };
  }

  #listener(body: Buffer): OpenStream | undefined {
    const { target } = decodeListen(body);
    const name = describeTarget(target);
    if (this.#listeners.has(name)) return undefined;
    return (parts, onEnd) => {
      const stream = new ListenerStream(target, parts, () => {
        if (this.#listeners.get(name) === stream) this.#listeners.delete(name);
        onEnd();
      });
      this.#listeners.set(name, stream);
      return { stream, run: () => stream.run() };
    };
  }

  #onSignal(stream: number, payload: Buffer): void {
    const { target, signal } = decodeSignal(payload);
    const command = 'id' in target ? this.#commands.find(target.id) : this.#streams.get(target.stream);
    command?.kill(signal);
    this.#answer(stream, 'signal', command === undefined ? 'ESRCH' : undefined);
  }

  #onFreeze(stream: number): void {
    void this.#perform(stream, 'freeze', async () => {
      await this.#handlers.freeze?.();
      this.#isFrozen = true;
    });
  }

  #onSetClock(stream: number, payload: Buffer): void {
    const wallClockMs = Number(new PayloadReader(payload).u64()) / 1000;
    void this.#perform(stream, 'clock', () => this.#handlers.setClock?.(wallClockMs));
  }

  #onSettings(stream: number, type: FrameType, payload: Buffer): void {
    if (this.#protocol === 1) throw new ProtocolError('settings in protocol 1');
    const failure = this.#settings.receive(type, payload, (owner) => this.#handlers.checkOwner?.(owner));
    this.#answer(stream, failure?.step ?? '', failure?.errno);
  }

  #onShutdown(stream: number, payload: Buffer): void {
    const { action, graceMs } = decodeShutdown(payload);
    void this.#perform(stream, 'shutdown', () => this.#handlers.shutdown?.(action, graceMs));
  }

  #onMetrics(stream: number): void {
    const metrics = { ...NO_METRICS, ...this.#handlers.metrics?.() };
    this.#session?.send(FrameType.metricsAnswer, stream, encodeMetrics(metrics));
  }

  #onThawRequest(stream: number, payload: Buffer): void {
    const { epoch, wallClockUs, entropy, hostname, machineId } = decodeThaw(payload);
    const thaw: ScriptedThaw = {
      epoch: epoch === 0 ? undefined : epoch,
      wallClockMs: wallClockUs === 0n ? undefined : Number(wallClockUs) / 1000,
      entropy: entropy.length === 0 ? undefined : Buffer.from(entropy),
      hostname: hostname === '' ? undefined : hostname,
      machineId: machineId === '' ? undefined : machineId,
    };
    void this.#perform(stream, 'thaw', async () => {
      if (epoch !== 0 && epoch < this.#epoch) throw new ScriptedErrno('EINVAL');
      await this.#handlers.thaw?.(thaw);
      if (epoch > this.#epoch) {
        this.#detachAll({ isForGood: true });
        this.#epoch = epoch;
      }
      this.#isFrozen = false;
      this.#thawed.wakeAll();
    });
  }

  /** Does what was asked for and answers, unless the host has begun another session meanwhile. */
  async #perform(stream: number, step: string, action: () => Awaitable): Promise<void> {
    const [id, epoch] = [this.#session?.id, this.#epoch];
    let errno: string | undefined;
    try {
      await action();
    } catch (error) {
      errno = error instanceof ScriptedErrno ? error.errno : 'EIO';
    }
    if (id === undefined || this.#session?.id !== id) return;
    // A new epoch has ended the streams of all requests but the one that began it.
    if (this.#epoch === epoch || step === 'thaw') this.#answer(stream, step, errno);
  }

  #untilThawed(): Promise<void> {
    return this.#isFrozen ? this.#thawed.wait() : Promise.resolve();
  }

  #detachAll({ isForGood = false } = {}): void {
    for (const stream of this.#streams.values()) stream.detach();
    this.#streams.clear();
    this.#commands.lose({ isForGood });
  }

  #info(): AgentInfo {
    const { epoch, isFrozen } = this;
    return { agentVersion: 'scripted', epoch, kernelRelease: this.#kernelRelease, isFrozen, isInit: true };
  }

  #answer(stream: number, step: string, errno: string | undefined): void {
    if (errno === undefined) this.#session?.send(FrameType.ok, stream);
    else this.#session?.send(FrameType.failed, stream, encodeFailed(errno, step));
  }
}
