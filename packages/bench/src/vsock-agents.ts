import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

/** An agent that comes up after a while: it connects to the path, or listens there. */
export interface AgentCall {
  readonly way: 'dial-out' | 'listen';
  readonly path: string;
  readonly delayMs: number;
}

const NANOSECONDS_PER_MS = 1e6;

/** Agents in a process of their own. */
export class VsockAgents implements Disposable {
  readonly #child: ChildProcess;
  #calls: AgentCall[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(): Promise<VsockAgents> {
    const child = fork(fileURLToPath(new URL('./vsock-agents-main.js', import.meta.url)), {
      stdio: 'inherit',
    });
    await once(child, 'message');
    return new VsockAgents(child);
  }

  /**
   * Agents that begin in the same turn of the event loop go to the other process as one message. A message
   * for each of a thousand agents would hold this process's event loop while the first agents are already
   * there, and that is not what is measured.
   */
  begin(call: AgentCall): void {
    this.#calls.push(call);
    if (this.#calls.length > 1) return;
    setImmediate(() => {
      this.#child.send(this.#calls);
      this.#calls = [];
    });
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

/** A connected stream, and the moment in which it was there. */
export interface InHand {
  readonly stream: Socket;
  readonly at: bigint;
}

export function inHand(stream: Socket): InHand {
  return { stream, at: process.hrtime.bigint() };
}

/** Milliseconds from the agent's readiness until its stream was in hand. */
export async function sinceReady({ stream, at }: InHand): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Number(at - Buffer.concat(chunks).readBigUInt64LE()) / NANOSECONDS_PER_MS;
}
