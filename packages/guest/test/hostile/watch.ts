import { readdirSync, readlinkSync } from 'node:fs';
import { duplexPair } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { AgentClient } from '../../src/client.js';
import { ScriptedAgent } from '../../src/scripted-agent.js';

const GC_EVERY_TURNS = 200;

setFlagsFromString('--expose-gc');
// SAFETY: V8's own function, which the flag has just made visible in new contexts.
const gc = runInNewContext('gc') as () => void;

/** What this process holds, in bytes; garbage is collected before. */
export function heldBytes(): number {
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

export function openSockets(): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // The descriptor of the listing itself is closed by now.
    }
  });
  return links.filter((link) => link.startsWith('socket:')).length;
}

/** What a hostile agent cost while it was watched. */
export interface Cost {
  /** The most that this process held beyond what it held before, counted without garbage. */
  readonly heldBytes: number;
  /** The most that one turn of the event loop took from the agent. */
  readonly framesInATurn: number;
  readonly bytesInATurn: number;
  /** The most turns that a bystander waited for the answer of its own, honest agent. */
  readonly bystanderTurns: number;
  readonly bystanderAnswers: number;
}

/**
 * Counts, turn by turn of the event loop, what happens in this process beside a session with a hostile agent.
 */
export class Watch {
  readonly #before = heldBytes();
  readonly #bystander: AgentClient;
  readonly #clients: { readonly client: AgentClient; received: { frames: number; bytes: number } }[] = [];
  readonly #peak = {
    heldBytes: 0,
    framesInATurn: 0,
    bytesInATurn: 0,
    bystanderTurns: 0,
    bystanderAnswers: 0,
  };
  #turn = 0;
  #isOver = false;
  readonly #bystanding: Promise<void>;

  private constructor(bystander: AgentClient) {
    this.#bystander = bystander;
    this.#bystanding = this.#bystand();
    this.#onTurn();
  }

  static async begin(): Promise<Watch> {
    const [host, guest] = duplexPair();
    new ScriptedAgent({ exec: () => 0 }).serve(guest);
    return new Watch(await AgentClient.connect(host, { vm: { vmId: 'bystander' } }));
  }

  /** Counts what this client receives. */
  add(client: AgentClient): AgentClient {
    this.#clients.push({ client, received: { frames: 0, bytes: 0 } });
    return client;
  }

  /** Looks at memory now, as at a moment at which something is kept. */
  look(): void {
    this.#peak.heldBytes = Math.max(this.#peak.heldBytes, heldBytes() - this.#before);
  }

  async end(): Promise<Cost> {
    this.look();
    this.#isOver = true;
    await this.#bystanding;
    this.#bystander.close();
    return this.#peak;
  }

  #onTurn(): void {
    if (this.#isOver) return;
    this.#turn += 1;
    for (const watched of this.#clients) {
      const { frames, bytes } = watched.client.received;
      this.#peak.framesInATurn = Math.max(this.#peak.framesInATurn, frames - watched.received.frames);
      this.#peak.bytesInATurn = Math.max(this.#peak.bytesInATurn, bytes - watched.received.bytes);
      watched.received = { frames, bytes };
    }
    if (this.#turn % GC_EVERY_TURNS === 0) this.look();
    setImmediate(() => this.#onTurn());
  }

  /** A bystander uses its own guest all the time; it rejects as soon as that guest cannot be reached. */
  async #bystand(): Promise<void> {
    while (!this.#isOver) {
      const asked = this.#turn;
      await this.#bystander.ping();
      this.#peak.bystanderTurns = Math.max(this.#peak.bystanderTurns, this.#turn - asked);
      this.#peak.bystanderAnswers += 1;
      await new Promise(setImmediate);
    }
  }
}
