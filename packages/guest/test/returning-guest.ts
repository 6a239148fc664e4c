import type { Duplex } from 'node:stream';
import { AgentClient } from '../src/client.js';
import { attachmentOf, openingOf } from '../src/command-opening.js';
import { isDetached, startDetached } from '../src/detached-command.js';
import { AgentExecProcess } from '../src/exec-process.js';
import { StreamQueue } from '../src/stream-queue.js';
import { unreachable } from '../src/unreachable.js';
import type {
  AttachOptions,
  DetachedCommand,
  DetachedExecRequest,
  ExecProcess,
  ExecRequest,
} from '@microvm/runtime';

/** A guest whose sessions are lost and opened again, as a driver's channel does it. */
export class ReturningGuest {
  readonly #plug: () => Duplex;
  readonly #queue: StreamQueue;
  #client: Promise<AgentClient>;
  #isConnecting = false;

  constructor(plug: () => Duplex) {
    this.#plug = plug;
    this.#queue = new StreamQueue({ vmId: 'vm' }, () => {
      if (!this.#isConnecting) this.#client = this.#connect();
    });
    this.#client = this.#connect();
  }

  client(): Promise<AgentClient> {
    return this.#client;
  }

  exec(request: ExecRequest): ExecProcess {
    return new AgentExecProcess(this.#queue, openingOf(request));
  }

  start(request: DetachedExecRequest): Promise<DetachedCommand> {
    if (!isDetached(request)) throw new Error('a detached command is meant');
    return startDetached(this.#queue, request, {
      attach: (id, options) => this.attach(id, options),
      kill: async (id, signal) => (await this.#client).kill(id, signal),
    });
  }

  attach(id: string, options?: AttachOptions): ExecProcess {
    return new AgentExecProcess(this.#queue, attachmentOf(id, options));
  }

  /** Cuts the channel where it is, in the middle of whatever it does. Resolves when the next one is there. */
  async cut(): Promise<void> {
    const before = this.#client;
    (await before).close('cut by the test');
    if (!this.#isConnecting) this.#client = this.#connect();
    await this.#client;
  }

  async close(): Promise<void> {
    this.#queue.close(() => unreachable({ vmId: 'vm' }, 'closed by the test'));
    (await this.#client).close();
  }

  async #connect(): Promise<AgentClient> {
    this.#isConnecting = true;
    try {
      return await AgentClient.connect(this.#plug(), {
        vm: { vmId: 'vm' },
        commands: this.#queue,
        timeoutMs: 600_000,
      });
    } finally {
      this.#isConnecting = false;
    }
  }
}
