import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AgentClient,
  AgentExecProcess,
  AgentFiles,
  attachmentOf,
  connectTo,
  Forwards,
  isDetached,
  Listeners,
  openingOf,
  startDetached,
  StreamQueue,
} from '@microvm/guest';
import {
  type AttachOptions,
  type ConnectOptions,
  type ConnectTarget,
  type DetachedCommand,
  type DetachedExecRequest,
  type ExecProcess,
  type ExecRequest,
  type Guest,
  isVmRuntimeError,
  type Limits,
  type NamedVm,
  type VmEnding,
  VmRuntimeError,
  within,
} from '@microvm/runtime';

const DEFAULT_TIMEOUT_MS = 10_000;
const CUT_PAUSE_MS = 10;
const FAREWELL_TIMEOUT_MS = 500;

/** Whole milliseconds until a deadline of the monotonic clock; at least 1, as 0 is no limit. */
function remainingMs(deadline: number): number {
  return Math.max(1, Math.ceil(deadline - performance.now()));
}

/** How long the opening of a stream may take. */
export interface OpenLimits extends Limits {
  readonly timeoutMs: number;
}

/** Opens a byte stream to the agent's port in the guest, as the VMM has it. Settles by its limits. */
export type OpenStream = (limits: OpenLimits) => Promise<Duplex>;

/**
 * The one session with a guest's agent, which the driver and its callers share. After a session has ended,
 * the channel opens a new one.
 */
export class AgentChannel {
  readonly #openStream: OpenStream;
  readonly #vm: NamedVm;
  readonly #commands: StreamQueue;
  readonly #forwards = new Forwards((target) => this.#connect(target));
  readonly #files: AgentFiles;
  readonly #listeners: Listeners;
  #client: AgentClient | undefined;
  #last: AgentClient | undefined;
  #attempt: Promise<AgentClient> | undefined;
  #isClosed = false;

  constructor(openStream: OpenStream, vm: NamedVm) {
    this.#openStream = openStream;
    this.#vm = vm;
    this.#commands = new StreamQueue(vm, () => this.#serveCommands());
    this.#files = new AgentFiles(this.#commands, () => this.#serveCommands());
    this.#listeners = new Listeners(this.#commands, () => this.#serveCommands());
  }

  /**
   * Waits for an agent that is not there yet, as in a boot. Rejects with `MICROVM_GUEST_UNREACHABLE` or the
   * signal's reason.
   */
  async connect({ signal, timeoutMs = DEFAULT_TIMEOUT_MS }: Limits = {}): Promise<AgentClient> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const leftMs = remainingMs(deadline);
      if (this.#client !== undefined) return this.#client;
      if (this.#attempt === undefined) return this.#begin(this.#openStream, { signal, timeoutMs: leftMs });
      // An attempt of another caller ends by that caller's limits. When it fails, this call tries with its
      // own limits.
      const other = this.#attempt.then(
        () => undefined,
        () => undefined,
      );
      await within(other, { signal, timeoutMs: leftMs }, () => {
        throw this.#unreachable(`no answer within ${timeoutMs} ms`);
      });
    }
  }

  /**
   * Makes a session of a connected stream, as when the agent dialled out. The stream belongs to the channel
   * from here on, and replaces an earlier session. After this session is cut, the channel opens a new one.
   * Rejects as `connect` does.
   */
  adopt(stream: Duplex, { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: Limits = {}): Promise<AgentClient> {
    if (this.#isClosed) stream.destroy();
    let offered: Duplex | undefined = stream;
    const take: OpenStream = (limits) => {
      const given = offered;
      offered = undefined;
      return given === undefined ? this.#openStream(limits) : Promise.resolve(given);
    };
    return this.#begin(take, { signal, timeoutMs });
  }

  /**
   * The guest as callers see it, whichever session it is reached by. Rejects as `connect` does, but while the
   * workload is held it waits for no session: commands that are asked for then wait for the thaw, as long as
   * their own deadlines allow.
   */
  async guest(): Promise<Guest> {
    if (!this.#commands.isHeld) await this.connect();
    return {
      files: this.#files,
      ping: async (options = {}) => (await this.connect(options)).ping(options),
      metrics: async (options = {}) => (await this.connect(options)).metrics(options),
      exec: this.#exec.bind(this),
      attach: (id, options) => this.#attach(id, options),
      kill: async (id, signal) => (await this.connect()).kill(id, signal),
      commands: async (options = {}) => (await this.connect(options)).commands(options),
      connect: (target, options) => this.#connect(target, options),
      forward: (options) => this.#forwards.open(options),
      listen: async (target, options) => this.#listeners.open(target, options),
    };
  }

  /**
   * The workload stands still now or soon. Commands wait until `release`, also when the session ends
   * meanwhile.
   */
  hold(): void {
    this.#commands.hold();
  }

  /** The workload runs, or is gone: what waited is started, or fails. */
  release(): void {
    this.#commands.release();
    this.#serveCommands();
  }

  /**
   * Why the guest ends, when its agent has said farewell in the present session or the last one. Waits for
   * the session's end, as the word may be on its way still, but not long.
   */
  async farewell(): Promise<VmEnding['reason'] | undefined> {
    const said = this.#last?.farewell.then((farewell) => farewell?.reason);
    return said === undefined ? undefined : within(said, { timeoutMs: FAREWELL_TIMEOUT_MS }, () => undefined);
  }

  /**
   * Lets the present session go, as when the VMM has cut its connection: the next one who asks gets a new
   * one.
   */
  drop(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** Ends the session, the forwarded ports and the listeners; the guest's commands go on. */
  close(): void {
    this.#isClosed = true;
    this.#client?.close();
    const isGone = () => this.#unreachable('the channel is closed');
    this.#commands.close(isGone);
    this.#forwards.close(isGone);
    this.#listeners.close(isGone);
  }

  #connect(target: ConnectTarget, options?: ConnectOptions): Promise<Duplex> {
    const connecting = connectTo(this.#commands, target, options);
    this.#serveCommands();
    return connecting;
  }

  #exec(request: DetachedExecRequest): Promise<DetachedCommand>;
  #exec(request: ExecRequest): ExecProcess;
  #exec(request: ExecRequest | DetachedExecRequest): ExecProcess | Promise<DetachedCommand> {
    const reach = {
      attach: (id: string, options?: AttachOptions) => this.#attach(id, options),
      kill: async (id: string, signal?: NodeJS.Signals) => (await this.connect()).kill(id, signal),
    };
    const process = isDetached(request)
      ? startDetached(this.#commands, request, reach)
      : new AgentExecProcess(this.#commands, openingOf(request, this.#commands));
    this.#serveCommands();
    return process;
  }

  #attach(id: string, options?: AttachOptions): ExecProcess {
    const process = new AgentExecProcess(this.#commands, attachmentOf(id, options));
    this.#serveCommands();
    return process;
  }

  /**
   * Opens the session that commands wait for. While commands are held, they wait for the session that thaws
   * the workload.
   */
  #serveCommands(): void {
    const isServed = (): boolean =>
      this.#client !== undefined || this.#commands.isHeld || this.#commands.isEmpty;
    if (isServed()) return;
    this.connect().catch((error: unknown) => {
      if (isServed()) return;
      const isTyped = isVmRuntimeError(error);
      this.#commands.fail(isTyped ? error : this.#unreachable((error as Error).message, error));
    });
  }

  async #begin(open: OpenStream, limits: OpenLimits): Promise<AgentClient> {
    const attempt = this.#open(open, limits);
    this.#attempt = attempt;
    try {
      return await attempt;
    } finally {
      if (this.#attempt === attempt) this.#attempt = undefined;
    }
  }

  async #open(open: OpenStream, { signal, timeoutMs }: OpenLimits): Promise<AgentClient> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (this.#isClosed) throw this.#unreachable('the channel is closed');
      signal?.throwIfAborted();
      const stream = await open({ signal, timeoutMs: remainingMs(deadline) });
      try {
        return this.#take(await this.#greet(stream, { signal, deadline }));
      } catch (error) {
        // The agent serves the newest of several connections and cuts the others. When a dial was made again
        // for want of an answer, our connection may be one that was cut.
        const wasCut = stream.readableEnded || stream.errored !== null;
        if (!wasCut || signal?.aborted === true || performance.now() >= deadline) throw error;
        await delay(CUT_PAUSE_MS);
      }
    }
  }

  #greet(
    stream: Duplex,
    { signal, deadline }: Pick<Limits, 'signal'> & { deadline: number },
  ): Promise<AgentClient> {
    return AgentClient.connect(stream, {
      vm: this.#vm,
      commands: this.#commands,
      timeoutMs: remainingMs(deadline),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  #take(client: AgentClient): AgentClient {
    this.#client?.close();
    this.#client = client;
    this.#last = client;
    void client.closed.then(() => {
      if (this.#client === client) this.#client = undefined;
    });
    if (this.#isClosed) client.close();
    return client;
  }

  #unreachable(reason: string, cause?: unknown): VmRuntimeError {
    const { vmId } = this.#vm;
    return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `guest of "${vmId}": ${reason}`, {
      details: { vmId, reason },
      cause,
    });
  }
}
