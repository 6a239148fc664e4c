import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { AgentClient } from '@microvm/guest';
import { VmRuntimeError, type VmEnding } from '@microvm/runtime';
import { within, type Limits } from '../process/within.js';

const DEFAULT_TIMEOUT_MS = 10_000;
const CUT_PAUSE_MS = 10;
const FAREWELL_TIMEOUT_MS = 500;

/** How long the opening of a stream may take. */
export interface OpenLimits extends Limits {
  readonly timeoutMs: number;
}

/** Opens a byte stream to the agent's port in the guest, as the VMM has it. Settles by its limits. */
export type OpenStream = (limits: OpenLimits) => Promise<Duplex>;

/** The one session with a guest's agent that the driver and its callers share; a session that ended is followed by a new one. */
export class AgentChannel {
  readonly #openStream: OpenStream;
  readonly #vmId: string;
  #client: AgentClient | undefined;
  #last: AgentClient | undefined;
  #attempt: Promise<AgentClient> | undefined;
  #isClosed = false;

  constructor(openStream: OpenStream, vmId: string) {
    this.#openStream = openStream;
    this.#vmId = vmId;
  }

  /** Waits for an agent that is not there yet, as in a boot. Rejects with `MICROVM_GUEST_UNREACHABLE` or the signal's reason. */
  async connect({ signal, timeoutMs = DEFAULT_TIMEOUT_MS }: Limits = {}): Promise<AgentClient> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const leftMs = Math.max(1, deadline - Date.now());
      if (this.#client !== undefined) return this.#client;
      if (this.#attempt === undefined) return this.#begin(this.#openStream, { signal, timeoutMs: leftMs });
      // Another's attempt ends by that one's limits; ours are tried when it fails.
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
   * Takes a stream that is connected already, as when the agent dialled out, for the session; it is the channel's from here on and
   * takes the place of a session that there was. One that is cut is followed by one that we open. Rejects as `connect` does.
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
   * Why the guest ends, when its agent has said farewell in the present session or the last one. Waits for the session's end, as the word
   * may be on its way still, but not long.
   */
  async farewell(): Promise<VmEnding['reason'] | undefined> {
    const said = this.#last?.farewell.then((farewell) => farewell?.reason);
    return said === undefined ? undefined : within(said, { timeoutMs: FAREWELL_TIMEOUT_MS }, () => undefined);
  }

  /** Lets the present session go, as when the VMM has cut its connection: the next one who asks gets a new one. */
  drop(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** Ends the session; the guest's commands go on. */
  close(): void {
    this.#isClosed = true;
    this.#client?.close();
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
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (this.#isClosed) throw this.#unreachable('the channel is closed');
      signal?.throwIfAborted();
      const leftMs = Math.max(1, deadline - Date.now());
      const stream = await open({ signal, timeoutMs: leftMs });
      try {
        return this.#take(await this.#greet(stream, { signal, deadline }));
      } catch (error) {
        // The agent serves the newest of several connections and cuts the others: where a dial was made again for want of an
        // answer, ours may be one of those.
        const wasCut = stream.readableEnded || stream.errored !== null;
        if (!wasCut || signal?.aborted === true || Date.now() >= deadline) throw error;
        await delay(CUT_PAUSE_MS);
      }
    }
  }

  #greet(
    stream: Duplex,
    { signal, deadline }: Pick<Limits, 'signal'> & { deadline: number },
  ): Promise<AgentClient> {
    return AgentClient.connect(stream, {
      vmId: this.#vmId,
      timeoutMs: Math.max(1, deadline - Date.now()),
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

  #unreachable(reason: string): VmRuntimeError {
    const vmId = this.#vmId;
    return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `guest of "${vmId}": ${reason}`, {
      details: { vmId, reason },
    });
  }
}
