import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const ATTEMPT_MS = 2;

/** A VMM, or a jailer that becomes one, with its API socket; one keep-alive connection. */
export class VmmProcess {
  readonly directory: string;
  readonly exited: Promise<Exit>;
  readonly child: ChildProcess;
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #output: Buffer[] = [];

  /** `directory` is where its relative paths begin, and where the API socket `api.sock` will be. */
  constructor(directory: string, command: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.directory = directory;
    this.#socketPath = join(directory, 'api.sock');
    const [program = '', ...args] = command;
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
    this.child = spawn(program, args, { cwd: directory, stdio, env });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => this.#output.push(chunk));
    }
    const { child } = this;
    this.exited = once(child, 'close').then(() => ({ code: child.exitCode, signal: child.signalCode }));
  }

  /** Console and log together. */
  get output(): string {
    return Buffer.concat(this.#output).toString();
  }

  /**
   * Resolves when the API answers connections; rejects when the process ends before, but for a jailer that
   * leaves it behind.
   */
  async ready(): Promise<this> {
    const ended = this.exited.then((exit) => {
      if (exit.code === 0) return new Promise<never>(() => undefined);
      throw new Error(`the VMM ended: ${JSON.stringify(exit)}: ${this.output}`);
    });
    ended.catch(() => undefined);
    for (;;) {
      const socket = connect(this.#socketPath);
      const outcome = await Promise.race([
        once(socket, 'connect').then(
          () => 'connected',
          () => 'refused',
        ),
        ended,
      ]);
      socket.destroy();
      if (outcome === 'connected') return this;
      await Promise.race([new Promise((resolve) => setTimeout(resolve, ATTEMPT_MS)), ended]);
    }
  }

  async ask(method: string, path: string, body?: string | object): Promise<Answer> {
    const text = typeof body === 'object' ? JSON.stringify(body) : body;
    const bytes = text === undefined ? undefined : Buffer.from(text);
    const headers =
      bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': bytes.length };
    const call = request({ socketPath: this.#socketPath, agent: this.#agent, method, path, headers });
    call.end(bytes);
    const [response] = (await once(call, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return { status: response.statusCode, body: Buffer.concat(chunks).toString() };
  }

  /** Asks, and fails unless the answer is good. */
  async must(method: string, path: string, body?: string | object): Promise<string> {
    const answer = await this.ask(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return answer.body;
  }

  async kill(): Promise<void> {
    this.#agent.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Connects to a port of the guest. Resolves with the stream, or with what came instead of a connection. */
export async function dialGuest(udsPath: string, port: number): Promise<Socket | string> {
  const socket = connect(udsPath);
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  socket.write(`CONNECT ${port}\n`);
  let line = '';
  for (;;) {
    const chunk = socket.read(1) as Buffer | null;
    if (chunk !== null) {
      if (chunk.toString() === '\n') return socket;
      line += chunk.toString();
      continue;
    }
    // `once` rejects when an error comes instead, such as a reset.
    const ended = await Promise.race([
      once(socket, 'readable').then(() => socket.readableEnded || socket.readableLength === 0),
      once(socket, 'end').then(() => true),
      once(socket, 'close').then(() => true),
    ]).catch(() => true);
    if (ended) {
      socket.destroy();
      return line;
    }
  }
}

/** Process ids of the guests that belong to a VMM. */
export function guestsOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}
