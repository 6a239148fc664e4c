import type { Duplex } from 'node:stream';
import type { ConnectTarget, GuestMetrics } from '@microvm/runtime';
import type { Frame } from './codec.js';
import { describeTarget } from './connect-target.js';
import {
  decodeExec,
  decodeExecV1,
  decodeShutdown,
  decodeSignal,
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
import { decodeSetEnv } from './settings-messages.js';
import { ScriptedSettings } from './scripted-settings.js';
import { FrameType, PROTOCOL_VERSION, ProtocolError, StreamKind, TargetKind } from './protocol.js';
import type { PowerAction } from './protocol.js';
import { CommandStream, ScriptedErrno } from './scripted-command.js';
import type { ScriptedCommand, ScriptedEnd } from './scripted-command.js';
import { ScriptErrors } from './scripted-errors.js';
import { ListenerStream } from './scripted-listener.js';
import { ScriptedSession } from './scripted-session.js';
import { SocketStream } from './scripted-socket.js';
import type { ScriptedServer } from './scripted-socket.js';
import type { ScriptedStreamParts } from './scripted-stream.js';

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
  #epoch: number;
  #isFrozen: boolean;
  #onThaw: (() => void)[] = [];
  #session: ScriptedSession | undefined;
  readonly #streams = new Map<number, ScriptedHandler>();
  /** By what they listen on. */
  readonly #listeners = new Map<string, ListenerStream>();
  readonly #requests: Partial<Record<FrameType, (stream: number, payload: Buffer) => void>> = {
    [FrameType.ping]: (stream) => this.#session?.send(FrameType.pong, stream, encodeInfo(this.#info())),
    [FrameType.open]: (stream, payload) => this.#onOpen(stream, payload),
    [FrameType.signal]: (stream, payload) => this.#onSignal(stream, payload),
    [FrameType.freeze]: (stream) => this.#onFreeze(stream),
    [FrameType.thaw]: (stream, payload) => this.#onThawRequest(stream, payload),
    [FrameType.setClock]: (stream, payload) => this.#onSetClock(stream, payload),
    [FrameType.metrics]: (stream) => this.#onMetrics(stream),
    [FrameType.shutdown]: (stream, payload) => this.#onShutdown(stream, payload),
    [FrameType.setEnv]: (stream, payload) => this.#onSetEnv(stream, payload),
  };

  constructor(handlers: ScriptedHandlers, options: ScriptedAgentOptions = {}) {
    this.#handlers = handlers;
    this.#epoch = options.epoch ?? 1;
    this.#kernelRelease = options.kernelRelease ?? 'scripted';
    this.#isFrozen = options.isFrozen ?? false;
    this.#protocol = options.protocol ?? PROTOCOL_VERSION;
    this.#settings = options.settings ?? new ScriptedSettings();
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
    const command = this.#streams.get(frame.stream);
    command?.onFrame(frame);
    return command !== undefined;
  }

  #onRequest(frame: Frame): void {
    const handle = this.#requests[frame.type];
    if (handle === undefined) throw new ProtocolError(`frame type ${frame.type} of a host`);
    handle(frame.stream, frame.payload);
  }

  #onOpen(stream: number, body: Buffer): void {
    const open = this.#openerOf(body);
    const session = this.#session;
    if (session === undefined) return;
    if (this.#isFrozen) {
      this.#answer(stream, 'frozen', 'EBUSY');
      return;
    }
    if (typeof open === 'string') {
      this.#answer(stream, 'connect', open);
      return;
    }
    const parts = {
      stream,
      outputWindow: session.outputWindow,
      send: (type: FrameType, id: number, payload?: Buffer) => session.send(type, id, payload),
      untilThawed: () => this.#untilThawed(),
    };
    const opened = open(parts, () => {
      // A later session can have a stream of the same number.
      if (this.#streams.get(stream) === opened.stream) this.#streams.delete(stream);
    });
    this.#streams.set(stream, opened.stream);
    opened.run();
  }

  #fileWorker(body: Buffer): OpenStream {
    const user = decodeFiles(body);
    const message = {
      argv: ['microvm-files'],
      env: {},
      cwd: '/',
      user,
      rlimits: {},
      pty: undefined,
    } as const;
    return (parts, onEnd) => {
      const stream = new CommandStream(parts, this.#errors, onEnd);
      const work = (worker: ScriptedCommand) => {
        if (this.#handlers.files === undefined) throw new ScriptedErrno('ENOSYS', 'start');
        return this.#handlers.files(worker);
      };
      return { stream, run: () => void stream.run(message, work) };
    };
  }

  /** Or the errno of what cannot be opened. */
  #openerOf(body: Buffer): OpenStream | string {
    switch (this.#protocol > 1 ? body[0] : StreamKind.exec) {
      case StreamKind.connect:
        return this.#connection(body) ?? (body[1] === TargetKind.unix ? 'ENOENT' : 'ECONNREFUSED');
      case StreamKind.listen:
        return this.#listener(body) ?? 'EADDRINUSE';
      case StreamKind.accept:
        return this.#accepted(body) ?? 'ENOENT';
      case StreamKind.files:
        return this.#fileWorker(body);
      case undefined:
      default:
        return this.#command(body);
    }
  }

  #command(body: Buffer): OpenStream {
    const message = this.#protocol === 1 ? decodeExecV1(body) : decodeExec(body);
    return (parts, onEnd) => {
      const stream = new CommandStream(parts, this.#errors, onEnd);
      const env = { ...this.#settings.environment, ...message.env };
      return {
        stream,
        run: () => void stream.run({ ...message, env }, (scripted) => this.#handlers.exec(scripted)),
      };
    };
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
    const { stream: target, signal } = decodeSignal(payload);
    const command = this.#streams.get(target);
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

  #onSetEnv(stream: number, payload: Buffer): void {
    if (this.#protocol === 1) throw new ProtocolError('SET_ENV in protocol 1');
    this.#settings.environment = decodeSetEnv(payload);
    this.#answer(stream, 'env', undefined);
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
        this.#detachAll();
        this.#epoch = epoch;
      }
      this.#isFrozen = false;
      for (const wake of this.#onThaw.splice(0)) wake();
    });
  }

  /** Does what was asked for and answers, unless the host has begun another session meanwhile. */
  async #perform(stream: number, step: string, action: () => Awaitable): Promise<void> {
    const id = this.#session?.id;
    const epoch = this.#epoch;
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
    if (!this.#isFrozen) return Promise.resolve();
    return new Promise((resolve) => this.#onThaw.push(resolve));
  }

  #detachAll(): void {
    for (const command of this.#streams.values()) command.detach();
    this.#streams.clear();
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
