import { Socket } from 'node:net';
import { AgentClient } from '@microvm/guest';
import { connectUnix } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';
import { within, type Limits } from './within.js';

const DEFAULT_TIMEOUT_MS = 10_000;

/** The one session with a guest's agent that the driver and its callers share; a session that ended is followed by a new one. */
export class AgentChannel {
  readonly #path: string;
  readonly #vmId: string;
  #client: AgentClient | undefined;
  #attempt: Promise<AgentClient> | undefined;
  #isClosed = false;

  constructor(path: string, vmId: string) {
    this.#path = path;
    this.#vmId = vmId;
  }

  /** Waits for an agent that is not there yet, as in a boot. Rejects with `MICROVM_GUEST_UNREACHABLE` or the signal's reason. */
  async connect({ signal, timeoutMs = DEFAULT_TIMEOUT_MS }: Limits = {}): Promise<AgentClient> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const leftMs = Math.max(1, deadline - Date.now());
      if (this.#client !== undefined) return this.#client;
      if (this.#attempt === undefined) return this.#begin(signal, leftMs);
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

  /** Ends the session; the guest's commands go on. */
  close(): void {
    this.#isClosed = true;
    this.#client?.close();
  }

  async #begin(signal: AbortSignal | undefined, timeoutMs: number): Promise<AgentClient> {
    this.#attempt = this.#open(signal === undefined ? { timeoutMs } : { signal, timeoutMs });
    try {
      return await this.#attempt;
    } finally {
      this.#attempt = undefined;
    }
  }

  async #open(options: { readonly signal?: AbortSignal; readonly timeoutMs: number }): Promise<AgentClient> {
    if (this.#isClosed) throw this.#unreachable('the channel is closed');
    const fd = await connectUnix(this.#path);
    const stream = new Socket({ fd, readable: true, writable: true });
    const client = await AgentClient.connect(stream, { ...options, vmId: this.#vmId });
    this.#client = client;
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
